#!/usr/bin/env python3
# The providers of one run: a mock for each, or a chain that grows for subscribers, started fresh and counted. An outage is done
# to the process itself: it is killed and started again at its port (`refuses`), or stopped and continued (`hangs`), so that what
# the proxy sees is what a kernel does.

import json
import signal
import threading
import time
import urllib.request
from dataclasses import dataclass, field

from . import processes
from .machine import Fault


@dataclass
class Behind:
    """The providers of a run."""

    mocks: list
    ports: list
    urls: list
    # Where the counts are asked for: without TLS.
    plain_ports: list
    authority: object = None
    commands: list = field(default_factory=list)
    # Providers that were killed count what they saw since.
    was_restarted: bool = False

    def counts(self):
        """What they saw, added up."""
        total = {}
        for port in self.plain_ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=5) as answer:
                for name, value in json.load(answer).items():
                    total[name] = total.get(name, 0) + value
        return total

    def ids(self):
        return [mock.process.pid for mock in self.mocks]

    def check(self):
        for mock in self.mocks:
            mock.check()


def start(bench, case, core):
    return start_heads(bench, case, core) if case.subscribers else start_mocks(bench, case, core)


def start_heads(bench, case, core):
    port, wanted = processes.free_port(), case.subscribers
    command = [bench.loadtest, "heads", "--listen", f"127.0.0.1:{port}", "--interval-ms", wanted.interval_ms, *spread(wanted)]
    running = bench.start("heads", command, core)
    processes.wait(running, lambda: "heads.ready" in running.log.read_text())
    return Behind([running], [port], [f"http://127.0.0.1:{port}"], [port])


def spread(subscribers):
    return ["--logs", subscribers.logs, "--filters", subscribers.filters] if subscribers.logs else []


def start_mocks(bench, case, core):
    behind = Behind([], [], [], [])
    first = case.mix[0]
    kinds = [*case.mix, *([case.slow] if case.slow else [])]
    for place in range(case.providers.count):
        folder = bench.folder(f"provider-{place}")
        latency_ms = (
            case.providers.slow_latency_ms if place == 0 and case.providers.slow_latency_ms else case.providers.latency_ms
        )
        # The default for whatever else is asked; logs have no small form.
        size = first.result if first.shape == "hex" else "100"
        command = [bench.loadtest, "mock", "--serve", f"127.0.0.1:0={size}", "--latency-ms", latency_ms]
        for kind in kinds:
            command += ["--answer", f"{kind.method}={kind.result}:{kind.shape}"]
        command += ["--serve-tls", f"127.0.0.1:0={size}", "--tls-folder", folder] if case.providers.tls else []
        command += ["--chunked"] if getattr(bench.options, "chunked", False) else []
        mock = bench.start(f"provider-{place}", command, core)
        ports = listening(mock)
        behind.mocks.append(mock)
        behind.plain_ports.append(ports[0])
        behind.ports.append(ports[-1])
        behind.urls.append(f"https://localhost:{ports[-1]}" if case.providers.tls else f"http://127.0.0.1:{ports[0]}")
        behind.commands.append([word if word != f"127.0.0.1:0={size}" else f"127.0.0.1:{ports[0]}={size}" for word in command])
        behind.authority = folder / "authority.pem" if case.providers.tls else None
    return behind


def listening(mock):
    """The ports of a mock, once it tells them."""

    def told():
        lines = mock.log.read_text().splitlines()
        return [line for line in lines if line.startswith('{"event":"mock.ready"') or '"mock.ready"' in line]

    processes.wait(mock, lambda: bool(told()))
    return [int(one["listen"].rsplit(":", 1)[1]) for one in json.loads(told()[-1])["serve"]]


class Outage(threading.Thread):
    """The first provider goes away and comes back, counted from when the measured part begins."""

    def __init__(self, bench, behind, outage, core, begins_at):
        super().__init__(daemon=True)
        self.bench, self.behind, self.outage, self.core, self.begins_at = bench, behind, outage, core, begins_at
        self.fault = None

    def run(self):
        try:
            self.sleep_until(self.outage.from_second)
            mock = self.behind.mocks[0]
            if self.outage.kind == "hangs":
                mock.send(signal.SIGSTOP)
                self.sleep_until(self.outage.to_second)
                mock.send(signal.SIGCONT)
                return
            mock.send(signal.SIGKILL)
            mock.process.wait()
            self.sleep_until(self.outage.to_second)
            again = self.bench.start(f"{mock.name}-again", self.behind.commands[0], self.core)
            listening(again)
            self.behind.mocks[0], self.behind.was_restarted = again, True
        except Fault as fault:
            self.fault = fault

    def sleep_until(self, second):
        time.sleep(max(0.0, self.begins_at + second - time.monotonic()))
