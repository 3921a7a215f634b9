#!/usr/bin/env python3
# Drills of what comes from outside: another secret, name servers that are gone or lie, and a flood of datagrams that mean nothing.

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import names
from lab import CLUSTER_PORT, REGIONS, Node, Skipped
from membership import together
from names import NameServer
from wire import enter

FOREIGN = "another secret of somebody else"
NAME, SERVICE = "lasso.internal", "_lasso._udp.internal"
FLOOD_S, FLOOD_RATE, SENDERS = 10, 20_000, 200


def shown(node):
    """Addresses of the other nodes that it shows."""
    return {one["address"] for one in node.cluster()["nodes"] if not one["self"]}


def at(lab, *regions):
    return {f"{lab.nodes[region].ip}:{CLUSTER_PORT}" for region in regions}


def secret(lab):
    """A node with another secret: both sides refuse and count it, log that once a minute at most, and learn nothing of each other."""
    nodes = {region: Node(lab, region) for region in ("eu", "us")}
    stranger = Node(lab, "ap", secret=FOREIGN)
    clients = lab.call_all({**nodes, "ap": stranger})
    lab.whole(nodes, 15, "the two with one secret show each other, and nobody else")
    both = [nodes["eu"], stranger]
    lab.within(15, "it is refused on both sides", lambda: all(n.cluster()["datagrams"]["refused"]["wrong_secret"] > 0 for n in both))
    time.sleep(10)
    for node in (*nodes.values(), stranger):
        lines = node.says("cluster.refused")
        lab.expect(len(lines) == 1, f"{node.region} says so once: {len(lines)} lines in ten seconds")
        told = node.log.read_text(errors="replace")
        lab.expect(FOREIGN not in told and "secret of the drills" not in told, f"{node.region} shows no secret")
    lab.expect(shown(nodes["eu"]) == at(lab, "us"), "eu shows us alone")
    lab.expect(stranger.coverage() == (1, 1) and not shown(stranger), "the stranger shows nobody")
    lab.no_wrong_answer(clients)


@contextlib.contextmanager
def name_server(lab):
    """One that every node's resolver asks; the file that says so is ours alone, in this mount namespace."""
    conf = lab.setting.work / "resolv.conf"
    conf.write_text(f"nameserver {lab.name_server.ip}\noptions timeout:1 attempts:1\n")
    bound = subprocess.run(["mount", "--bind", str(conf), "/etc/resolv.conf"], capture_output=True, check=False)
    if bound.returncode != 0:
        raise Skipped(f"/etc/resolv.conf cannot be put another one in front of: {bound.stderr.decode().strip()}")
    server = NameServer(lab.name_server)
    try:
        yield server
    finally:
        server.end()
        subprocess.run(["umount", "/etc/resolv.conf"], check=False)


def all_ips(lab):
    return [host.ip for host in lab.nodes.values()]


def is_whole(lab, nodes):
    others = {region: at(lab, *(other for other in REGIONS if other != region)) for region in REGIONS}
    return all(node.coverage() == (3, 3) and shown(node) == others[region] for region, node in nodes.items())


def gone_and_lying(lab, server, nodes, query, restore):
    """The name server goes, comes back lying, and tells the truth again."""
    clients = lab.call_all(nodes)
    server.is_gone = True
    time.sleep(15)
    lab.expect(is_whole(lab, nodes), "the name server is gone for 15 s: nobody is lost")
    clients.pop("us").end()
    nodes["us"].end()
    nodes["us"] = Node(lab, "us", query=query)
    # It knows nobody; the others have its address, and greet it there.
    lab.whole(nodes, 40, "a node that starts meanwhile is found by the others")
    server.is_gone = False
    unknown = [f"10.97.9.{n}" for n in range(1, 100)]
    server.hosts[NAME] = ["0.0.0.0", "255.255.255.255", "127.0.0.1", lab.name_server.ip, lab.providers["eu"].ip, *unknown]
    server.services[SERVICE] = [(NAME, 53), (NAME, 0), ("nowhere.internal", CLUSTER_PORT)]
    time.sleep(15)
    lab.expect(is_whole(lab, nodes), "it names a hundred hosts that are no nodes: nobody is lost, and nobody else shown")
    restore()
    nodes["ap"].end()
    clients.pop("ap").end()
    nodes["ap"] = Node(lab, "ap", query=query)
    lab.whole(nodes, 20, "it tells the truth again, and who starts now is found")
    lab.expect(is_whole(lab, nodes), "each of them once")
    lab.no_wrong_answer(clients)


def dns(lab):
    """Nodes that are found by a name's addresses. While the name server is gone nobody is lost; when it names a hundred hosts that are no nodes, nobody
    is lost and nobody else shown."""
    with name_server(lab) as server:
        server.hosts[NAME] = all_ips(lab)
        nodes = lab.start_nodes(query=NAME)
        lab.whole(nodes, 20, "found by a name's addresses")

        def restore():
            server.hosts[NAME] = all_ips(lab)

        gone_and_lying(lab, server, nodes, NAME, restore)


def services(lab):
    """The same by services (SRV), whose names have addresses of their own to be asked for; before each true answer come one to another question, one that
    is cut, one that points at itself, and garbage."""
    with name_server(lab) as server:
        targets = {region: f"{region}.internal" for region in REGIONS}

        def restore():
            server.hosts.update({targets[region]: [lab.nodes[region].ip] for region in REGIONS})
            server.services[SERVICE] = [(target, CLUSTER_PORT) for target in targets.values()]

        restore()
        server.lies = [names.wrong_number, names.cut, names.loop, names.garbage]
        nodes = lab.start_nodes(query=SERVICE)
        lab.whole(nodes, 20, "found by services, in spite of four false answers to each question")
        asked = set(server.asked)
        lab.expect((SERVICE, names.SRV) in asked, "services were asked for")
        lab.expect(all((target, names.A) in asked for target in targets.values()), "and the addresses of their names")
        gone_and_lying(lab, server, nodes, SERVICE, restore)


def flood(lab):
    """Two hundred senders that never proved themselves send what was recorded, as it was, cut and damaged, well-formed datagrams of another secret, and
    garbage, 20,000 in a second: the node goes on answering (99 of 100 calls within 250 ms), no sender gets more bytes than it sent, what finds no room is
    counted, and the cluster stays whole."""
    lab.relay.tape(lab.nodes["eu"])
    nodes, clients = together(lab)
    time.sleep(3)
    tape = lab.setting.work / "tape.json"
    tape.write_text(json.dumps([one.hex() for one in lab.relay.taped()]))
    node, before = nodes["eu"], nodes["eu"].cluster()["datagrams"]
    program = Path(__file__).with_name("flood.py")
    words = [f"{node.host.ip}:{CLUSTER_PORT}", FLOOD_S, FLOOD_RATE, SENDERS, tape]
    began, cpu = time.monotonic(), node.cpu_seconds()
    process = subprocess.run(
        [sys.executable, program, *map(str, words)], stdout=subprocess.PIPE, preexec_fn=enter(node.host), check=True, timeout=60
    )
    told, took = json.loads(process.stdout), time.monotonic() - began
    share = (node.cpu_seconds() - cpu) / took
    time.sleep(1.5)
    after = node.cluster()["datagrams"]
    received = after["received"] - before["received"]
    refused = sum(after["refused"].values()) - sum(before["refused"].values())
    overflowed = after.get("overflowed", 0) - before.get("overflowed", 0)
    lab.expect(told["sent"] > FLOOD_S * 1_000, f"{told['sent']} datagrams of {told['bytes']} bytes in {took:.1f} s")
    lab.no_wrong_answer(clients, began, "calls went on")
    p99 = clients["eu"].p99_ms(began)
    lab.expect(p99 <= 250, f"99 of 100 calls within {p99:.1f} ms; the node took {share:.0%} of a core")
    lab.expect(
        told["worst"] <= 1, f"no sender got more bytes than it sent: {told['back']} for {told['bytes']} in all, at most {told['worst']:.3f} to one"
    )
    lab.expect(refused >= 0.9 * received > 0, f"{refused} of {received} were refused, {overflowed} more found no room")
    lab.expect(received + overflowed >= told["sent"], "each of them was read or counted as lost")
    lab.whole(nodes, 40, "the cluster is whole")
    lab.expect(shown(node) == at(lab, "us", "ap"), "and nobody else is shown")
