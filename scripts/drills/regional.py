#!/usr/bin/env python3
# Drills of routing: each node finds its own best provider, and a provider that is out in one region is that region's business alone.

import time

from lab import REGIONS, RESULTS


def settle(lab):
    """Three nodes that call their own providers."""
    nodes = lab.start_nodes()
    # As whatever sends clients to nodes does: a node is ready when its first provider has answered.
    lab.within(10, "every node is ready", lambda: all(node.get("/api/ready")["status"] == "ready" for node in nodes.values()))
    clients = lab.call_all(nodes)
    lab.within(10, "each node calls the provider of its region, 20 times in a row", lambda: own(clients, 20))
    lab.whole(nodes, 15)
    return nodes, clients


def own(clients, count):
    return all(client.from_own(count) for client in clients.values())


def best(lab):
    """Three nodes of one configuration, strategy fastest, nothing said of regions: within 10 s each sends its calls to the provider that is near it,
    and the nodes show each other and, merged, what each of them counted."""
    nodes, clients = settle(lab)
    time.sleep(3)
    clients = {region: client.end() for region, client in clients.items()}
    lab.no_wrong_answer(clients)
    counts = {region: len(client.calls) for region, client in clients.items()}
    total = sum(counts.values())

    def merged(query):
        return nodes["ap"].get(f"/api/metrics/one?{query}")["chain_performance"]["total_calls"]

    lab.within(20, f"any node shows the {total} calls of all", lambda: merged("scope=cluster") == total)
    for region in REGIONS:
        lab.expect(merged(f"region={region}") == counts[region], f"of these {counts[region]} in {region}")
    for region, node in nodes.items():
        told = node.get("/api/region")
        latency = {one["id"]: one["probe_latency_ms"] for one in told["providers"]}
        lab.expect(min(latency, key=latency.get) == region, f"{region} measures {latency} ms by itself")


def outage(lab):
    """The provider of one region is killed: no call fails anywhere, the other regions keep their own provider, and when it is back its region calls
    it again within 60 s."""
    _, clients = settle(lab)
    others = {region: client for region, client in clients.items() if region != "eu"}
    lab.end_provider("eu")
    out = time.monotonic()
    time.sleep(15)
    lab.no_wrong_answer(clients, out, "no call failed while one provider was out")
    moved = [answer for _, _, answer in clients["eu"].since(out + 2)]
    lab.expect(len(moved) > 50, f"eu goes on elsewhere: {len(moved)} calls")
    for region, client in others.items():
        answers = [answer for _, _, answer in client.since(out)]
        share = answers.count(RESULTS[region]) / len(answers)
        # One call in five seconds is for measuring each other provider.
        lab.expect(share >= 0.95, f"{region} sends {share:.1%} of its calls to its own, as before")
    lab.serving["eu"] = lab.start_provider("eu")
    lab.within(60, "eu calls its provider again", lambda: clients["eu"].from_own(20))
    lab.no_wrong_answer(clients)
