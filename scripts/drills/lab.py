#!/usr/bin/env python3
# The ground of the drills: three regions, a provider and a node in each, clients that call all the time, and expectations that are checked.

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import wire
from wire import Cannot, enter, inside

__all__ = ["Cannot", "Lab", "Node", "Setting", "Skipped", "Violated", "REGIONS"]

REGIONS = ("eu", "us", "ap")
# Round trips between regions; within one it is 1 ms, and to who serves all of them.
APART_MS = {frozenset(("eu", "us")): 80, frozenset(("us", "ap")): 140, frozenset(("eu", "ap")): 200}
NEAR_MS = 1
PORT, CLUSTER_PORT, PROVIDER_PORT = 4000, 7946, 8545
SECRET = "a secret of the drills alone"
# What a provider answers, so that its answers say whose they are.
RESULTS = {"eu": "0xe0", "us": "0x05", "ap": "0xa9"}
CALL_EVERY_S = 0.05


class Violated(Exception):
    """An expectation without which the drill cannot go on does not hold."""


class Skipped(Exception):
    """This drill cannot be done here; the text says why."""


@dataclass
class Setting:
    binary: Path
    other_binary: Path | None
    work: Path


def round_trip_ms(a, b):
    return APART_MS.get(frozenset((a.region, b.region)), NEAR_MS)


def profile():
    lines = ["slug: default", "rps_limit: 0", "chains:", "  one:", "    chain_id: 1", "    providers:"]
    for place, region in enumerate(REGIONS):
        lines.append(f"      - {{id: {region}, priority: 1, url: 'http://10.97.0.{11 + place}:{PROVIDER_PORT}'}}")
    return "\n".join(lines) + "\n"


class Node:
    """One lasso; `id` and `region` are those of its host unless told otherwise."""

    starts = 0

    def __init__(self, lab, region, binary=None, query=None, secret=SECRET, preload=None, variables=None):
        self.lab, self.region, self.host = lab, region, lab.nodes[region]
        Node.starts += 1
        self.log = lab.setting.work / f"{Node.starts}-{region}.log"
        command = [binary or lab.setting.binary, "serve", "--profiles", lab.profiles, "--listen", "0.0.0.0", "--port", PORT]
        command += ["--shards", 1, "--node-id", f"{region}-1", "--region", region, "--log-format", "json", "--pin", "false"]
        command += ["--cluster-listen", f"{self.host.ip}:{CLUSTER_PORT}", "--drain-seconds", 3]
        query = query or ",".join(f"{host.ip}:{CLUSTER_PORT}" for host in lab.nodes.values())
        own = {"CLUSTER_DNS_QUERY": query, "LASSO_CLUSTER_SECRET": secret, **(variables or {})}
        if preload:
            own["LD_PRELOAD"] = str(preload)
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**keep, **own}, preexec_fn=enter(self.host),
            )
        lab.running.append(self)
        end = time.monotonic() + 20
        while not self.says("node.ready"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Cannot(f"lasso does not start: {self.log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.05)

    def says(self, event):
        """Lines of its log about this event."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if f'"{event}"' in line]

    def connection(self, timeout=10.0):
        with inside(self.host):
            sock = socket.create_connection(("127.0.0.1", PORT), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout)
        connection.sock = sock
        return connection

    def get(self, path):
        connection = self.connection()
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def cluster(self):
        return self.get("/api/cluster")

    def coverage(self):
        told = self.cluster()["coverage"]
        return told["responding"], told["total"]

    def state_of(self, region):
        at = f"{self.lab.nodes[region].ip}:{CLUSTER_PORT}"
        return next((one["state"] for one in self.cluster()["nodes"] if one["address"] == at), None)

    def cpu_seconds(self):
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self in self.lab.running:
            self.lab.running.remove(self)


class Client(threading.Thread):
    """Calls one node all the time, and keeps how each call ended."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.calls, self.is_over = node, [], threading.Event()
        self.start()

    def run(self):
        connection, number = None, 0
        while not self.is_over.wait(CALL_EVERY_S):
            number += 1
            body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": [f"0x{number:040x}", "latest"]})
            began = time.monotonic()
            try:
                connection = connection or self.node.connection(40.0)
                connection.request("POST", "/rpc/fastest/one", body, {"content-type": "application/json"})
                answer = json.loads(connection.getresponse().read()).get("result")
            except (OSError, http.client.HTTPException, ValueError) as why:
                answer, connection = repr(why), None
            self.calls.append((began, time.monotonic() - began, answer))

    def end(self):
        self.is_over.set()
        self.join()
        return self

    def since(self, moment):
        return [call for call in list(self.calls) if call[0] >= moment]

    def wrong(self, moment=0.0):
        """Answers that are no provider's."""
        return [answer for _, _, answer in self.since(moment) if answer not in RESULTS.values()]

    def from_own(self, count):
        """The last so many were answered by this region's provider."""
        last = list(self.calls)[-count:]
        return len(last) == count and all(answer == RESULTS[self.node.region] for _, _, answer in last)

    def p99_ms(self, moment):
        took = sorted(took for _, took, _ in self.since(moment))
        return 1_000 * took[int(len(took) * 0.99)] if took else 0.0


class Lab:
    def __init__(self, setting):
        self.setting, self.violations, self.running, self.clients = setting, 0, [], []
        self.profiles = setting.work / "profiles"
        self.profiles.mkdir(exist_ok=True)
        (self.profiles / "default.yml").write_text(profile())
        make = wire.make_host
        self.nodes = {region: make(f"node-{region}", region, f"10.97.0.{1 + n}") for n, region in enumerate(REGIONS)}
        self.providers = {region: make(f"provider-{region}", region, f"10.97.0.{11 + n}") for n, region in enumerate(REGIONS)}
        self.name_server = make("names", "everywhere", "10.97.0.53")
        self.hosts = [*self.nodes.values(), *self.providers.values(), self.name_server]
        self.relay = wire.Relay(self.hosts, round_trip_ms)
        self.serving = {region: self.start_provider(region) for region in REGIONS}

    def start_provider(self, region):
        host = self.providers[region]
        program = Path(__file__).with_name("provider.py")
        command = [sys.executable, str(program), host.ip, str(PROVIDER_PORT), RESULTS[region]]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=enter(host))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError), inside(host):
                socket.create_connection((host.ip, PROVIDER_PORT), 1).close()
                return process
            time.sleep(0.05)
        raise Cannot("a provider does not start")

    def end_provider(self, region):
        self.serving[region].kill()
        self.serving[region].wait()

    def start_nodes(self, **how):
        return {region: Node(self, region, **how) for region in REGIONS}

    def call_all(self, nodes):
        clients = {region: Client(node) for region, node in nodes.items()}
        self.clients += clients.values()
        return clients

    def between(self, region):
        """The links of one region's node with the other nodes."""
        return [(self.nodes[region], host) for other, host in self.nodes.items() if other != region]

    def expect(self, holds, what):
        print(f"   {'ok      ' if holds else 'VIOLATED'} {what}", flush=True)
        self.violations += not holds
        return holds

    def within(self, seconds, what, is_so, must=True):
        """Waits until it is so, and says how long that took."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if is_so():
                    return self.expect(True, f"{what}: after {time.monotonic() - began:.1f} s, at most {seconds} s")
            if time.monotonic() - began > seconds:
                self.expect(False, f"{what}: not within {seconds} s")
                if must:
                    raise Violated
                return False
            time.sleep(0.1)

    def whole(self, nodes, seconds, what="every node shows three that respond"):
        count = len(nodes)
        self.within(seconds, what, lambda: all(node.coverage() == (count, count) for node in nodes.values()))

    def no_wrong_answer(self, clients, moment=0.0, what="no call failed or got a wrong answer"):
        wrong = {region: client.wrong(moment) for region, client in clients.items()}
        calls = sum(len(client.since(moment)) for client in clients.values())
        some = next((answers[0] for answers in wrong.values() if answers), "")
        count = sum(len(answers) for answers in wrong.values())
        self.expect(count == 0 and calls > 0, f"{what}: {count} of {calls}{f', like {some}' if some else ''}")

    def end(self):
        for client in self.clients:
            client.is_over.set()
        for node in list(self.running):
            node.end()
        for process in self.serving.values():
            process.kill()
            process.wait()
        for client in self.clients:
            client.join()
        self.relay.end()
        for host in self.hosts:
            os.close(host.tun)
            host.holder.kill()
            host.holder.wait()
