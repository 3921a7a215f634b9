#!/usr/bin/env python3
# Processes: each begins a session of its own on one core, and is ended by its group and by nothing else.

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .machine import Fault

START_SECONDS = 15
END_SECONDS = 5


@dataclass
class Running:
    """A process that must live until we end it."""

    name: str
    process: subprocess.Popen
    log: Path

    def check(self):
        code = self.process.poll()
        if code is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise Fault(f"{self.name} (process {self.process.pid}) ended by itself with {code}:\n{tail}")

    def ids(self):
        """All processes of its session: nginx works in a child, and a peer may be started by a script."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:
                found.append(int(path.parent.name))
        return sorted(found)

    def cores(self):
        """On which cores its processes may run, by process."""
        found = {}
        for one in self.ids():
            try:
                found[one] = os.sched_getaffinity(one)
            except OSError:
                continue
        return found

    def send(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def end(self):
        """Politely, then not; whoever is left of its group and session goes with it."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        self.send(signal.SIGKILL)
        # Whoever made a group of its own is still of the session.
        for one in self.ids():
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


@dataclass
class Bench:
    """What all runs share: the binaries, a folder, and all that was started and must be ended."""

    options: object
    machine: object
    work: Path
    loadtest: Path
    lasso: Path
    running: list = field(default_factory=list)
    starts: int = 0

    def start(self, name, command, core, extra=None):
        self.starts += 1
        log = self.work / f"{self.starts}-{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
                start_new_session=True,
                cwd=self.work,
                env={**environment(), **(extra or {})},
            )
        one = Running(name, process, log)
        self.running.append(one)
        return one

    def end(self, one):
        self.running.remove(one)
        one.end()

    def end_all(self):
        for one in reversed(self.running):
            one.end()
        self.running.clear()

    def folder(self, name):
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))

    def clear(self):
        shutil.rmtree(self.work, ignore_errors=True)


def environment():
    """Ours without anything that would configure a proxy."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LASSO_") and name != "PORT"}


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def free_datagram_ports(count):
    """Different ones, so all are held until the last is known."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait(running, done, what="did not start", seconds=START_SECONDS):
    until = time.monotonic() + seconds
    while not done():
        running.check()
        if time.monotonic() > until:
            raise Fault(f"{running.name} {what} within {seconds} s")
        time.sleep(0.02)


BODY = b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x28c6c06298d514db089934071355e5743bf21d60","latest"]}'


def wait_ready(proxy, port, path="/rpc/bench", host="127.0.0.1"):
    """Until one call is answered through the proxy, by a result."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:"
        f" {len(BODY)}\r\n\r\n"
    )
    until, last = time.monotonic() + START_SECONDS, b""
    while time.monotonic() < until:
        proxy.check()
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as one:
                one.settimeout(2)
                one.sendall(head.encode() + BODY)
                last = b""
                while piece := one.recv(4096):
                    last += piece
                    if b'"result"' in last and last.startswith(b"HTTP/1.1 200 "):
                        return
        except OSError as fault:
            last = last or str(fault).encode()
        time.sleep(0.02)
    raise Fault(f"not ready after {START_SECONDS} s; last: {last[:300]!r}")
