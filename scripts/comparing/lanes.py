#!/usr/bin/env python3
# The lanes: ways from the load to the provider. Each says what it cannot do in a word, which stands in the table, and otherwise
# starts its proxy.

import json
import os
import shlex
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass

from . import configurations, machine, processes
from .machine import Fault

LANES = ["direct", "relay", "nginx", "haproxy", "lasso", "lasso-epoll"]
# lasso-mute tells nobody of its calls; lasso-pages has PAGES readers, each as busy as an open dashboard; lasso-cluster is one of
# NODES nodes.
EXTRA_LANES = ["relay-epoll", "nginx-buffered", "lasso-ws", "lasso-ws-epoll", "lasso-mute", "lasso-pages", "lasso-cluster"]
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy"}
MUTE = ["--log-level", "error", "--request-log-rate", "0"]
PAGES = 5
NODES = 3
# What a proxy needs beside two files for each client.
SPARE_FILES = 64


@dataclass(frozen=True)
class Peer:
    """A proxy of the command line."""

    name: str
    command: str
    # By scheme: http, ws.
    urls: tuple

    def url(self, scheme):
        return next((url for url in self.urls if url.startswith(scheme + "://")), None)


@dataclass
class Door:
    """Where a run's calls go. No running process for direct."""

    running: object
    port: int
    path: str
    host: str = "127.0.0.1"


def is_lasso(lane):
    return lane == "lasso" or lane.startswith("lasso-")


def family(lane):
    """nginx-buffered is an nginx."""
    return lane.split("-")[0]


def over_socket(lane, case):
    return case.transport == "ws" or case.subscribers is not None or "-ws" in lane


def clients(case):
    """Connections that the lane must take."""
    return case.subscribers.clients if case.subscribers else case.connections + (case.slow.clients if case.slow else 0)


def cannot(lane, case, peers, files):
    """Why this lane has no run of this case; None when it has."""
    if lane in peers:
        if over_socket(lane, case) and not peers[lane].url("ws"):
            return "no ws URL"
        if not over_socket(lane, case) and not peers[lane].url("http"):
            return "no http URL"
    elif family(lane) in PACKAGES and not machine.find(family(lane)):
        return "not installed"
    if family(lane) in ("direct", "relay") and case.needs_routing:
        return "one provider only"
    if "-ws" in lane and (case.transport == "ws" or case.subscribers):
        return "is lasso here"
    if lane == "lasso-cluster" and case.providers.tls:
        return "not with TLS"
    needed = clients(case) * (2 if family(lane) in ("relay", "nginx", "haproxy") else 1) + SPARE_FILES
    if needed > files:
        return f"needs {needed} files, may have {files}"
    return None


def note(lane, case):
    """What a reader must know of this lane's figure in this case."""
    if family(lane) in ("direct", "relay") and case.providers.tls:
        return "without TLS"
    if lane == "direct" and case.subscribers:
        return "the bare loop"
    return None


def open_door(bench, lane, case, behind, peers):
    """Starts the lane's proxy, fresh, and waits until it answers."""
    socket = over_socket(lane, case)
    path = "/ws/rpc/bench" if socket else "/rpc/bench"
    if lane == "direct":
        return Door(None, behind.plain_ports[0], path)
    core, port = bench.machine.proxy_core, processes.free_port()
    if lane in peers:
        return open_peer(bench, peers[lane], behind, "ws" if socket else "http")
    folder = bench.folder(lane)
    command = COMMANDS[family(lane)](bench, lane, case, behind, folder, port)
    door = Door(bench.start(lane, command, core), port, path)
    try:
        processes.wait_ready(door.running, port)
        if case.subscribers and is_lasso(lane):
            wait_heads(door.running, behind.counts)
    except Fault:
        bench.end(door.running)
        raise
    return door


def wait_heads(running, counts):
    """lasso's own head tracking is under way, so that the first subscriber finds what the last does. It needs none for heads that it polls."""
    since = time.monotonic()
    processes.wait(running, lambda: counts()["now"] > 0 or time.monotonic() > since + 3)


def relay(bench, lane, _case, behind, _folder, port):
    driver = "epoll" if lane.endswith("epoll") else "io_uring"
    return [
        bench.loadtest,
        "relay",
        "--listen",
        f"127.0.0.1:{port}",
        "--upstream",
        f"127.0.0.1:{behind.plain_ports[0]}",
        "--driver",
        driver,
    ]


def nginx(_bench, lane, case, behind, folder, port):
    path = folder / "nginx.conf"
    buffers = configurations.NGINX_BUFFERS if lane == "nginx-buffered" else configurations.NGINX_STREAMS
    configurations.nginx(path, port, behind.ports, behind.authority, over_socket(lane, case), clients(case), buffers)
    return [machine.find("nginx"), "-p", folder, "-c", path]


def haproxy(_bench, _lane, case, behind, folder, port):
    path = folder / "haproxy.cfg"
    configurations.haproxy(path, port, behind.ports, behind.authority, clients(case))
    return [machine.find("haproxy"), "-db", "-q", "-f", path]


def lasso(bench, lane, case, behind, folder, port):
    flags = MUTE if lane == "lasso-mute" else []
    if lane == "lasso-cluster":
        bench.cluster = processes.free_datagram_ports(NODES)
        flags = node_flags(bench.cluster, 0)
    driver = "epoll" if lane.endswith("epoll") else "auto"
    return serve(bench, folder, port, behind, driver, case.subscribers and case.subscribers.interval_ms, flags)


def serve(bench, folder, port, behind, driver, subscribes_every_ms, flags):
    configurations.lasso(folder, behind.urls, behind.authority, subscribes_every_ms)
    place = ["--listen", "127.0.0.1", "--port", port, "--shards", "1"]
    return [bench.lasso, "serve", "--profiles", folder, *place, "--driver", driver, *flags]


COMMANDS = {"relay": relay, "nginx": nginx, "haproxy": haproxy, "lasso": lasso}


def node_flags(ports, place):
    query = ",".join(f"127.0.0.1:{port}" for port in ports)
    return ["--cluster-dns-query", query, "--cluster-listen", f"127.0.0.1:{ports[place]}", "--node-id", f"node-{place}"]


def start_companions(bench, port, behind):
    """The other nodes of the cluster, beside the load, until the measured one shows all of them."""
    companions = []
    for place in range(1, NODES):
        folder = bench.folder(f"node-{place}")
        command = serve(bench, folder, processes.free_port(), behind, "auto", None, node_flags(bench.cluster, place))
        companions.append(bench.start(f"node-{place}", command, bench.machine.load_core))

    def is_whole():
        told = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/cluster", timeout=5).read())
        return told["coverage"] == {"responding": NODES, "total": NODES}

    processes.wait(companions[0], is_whole, "is not one of a whole cluster")
    return companions


def filled(text, values):
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def open_peer(bench, peer, behind, scheme):
    """Whatever the command line says. It gets the providers by placeholders or by environment."""
    folder = bench.folder(peer.name)
    values = {
        "port": processes.free_port(),
        "folder": folder,
        "provider": behind.urls[0],
        "providers": ",".join(behind.urls),
        "authority": behind.authority or "",
    }
    url = urllib.parse.urlsplit(filled(peer.url(scheme), values))
    if url.hostname not in ("127.0.0.1", "localhost") or not url.port:
        raise Fault(
            f"--peer-url {peer.name}: must be http or ws to 127.0.0.1 with a port, because the process on this machine is what is"
            " measured"
        )
    extra = {f"COMPARE_{name.upper()}": str(value) for name, value in values.items()}
    command = [filled(word, values) for word in shlex.split(peer.command)]
    # Paths are those of whoever gave the command; the process itself runs in a folder of ours.
    command = [os.path.abspath(word) if "/" in word and os.path.exists(word) else word for word in command]
    try:
        running = bench.start(peer.name, command, bench.machine.proxy_core, extra)
    except OSError as fault:
        raise Fault(f"--peer {peer.name}: cannot start {command[0]}: {fault.strerror}") from None
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        asked = urllib.parse.urlsplit(filled(peer.url("http") or peer.url(scheme), values))
        processes.wait_ready(running, asked.port, asked.path or "/", asked.netloc)
    except Fault:
        bench.end(running)
        raise
    return Door(running, url.port, path, url.netloc)


def versions(lanes, lasso_path):
    """Of every proxy that is run; a peer says its own in its name."""
    found = {}
    if any(family(lane) == "nginx" for lane in lanes) and machine.find("nginx"):
        found["nginx"] = machine.version([machine.find("nginx"), "-v"], r"nginx/(\S+)")
    if any(family(lane) == "haproxy" for lane in lanes) and machine.find("haproxy"):
        found["haproxy"] = machine.version([machine.find("haproxy"), "-v"], r"version (\S+)")
    if any(is_lasso(lane) for lane in lanes):
        found["lasso"] = machine.version([lasso_path, "--version"])
    return found
