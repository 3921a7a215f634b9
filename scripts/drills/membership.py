#!/usr/bin/env python3
# Drills of the cluster's nodes: partition, kill and return, an upgrade node by node, clocks that jump. What clients get is none of the cluster's
# business, so in each of them no call may fail at a node that is up.

import signal
import struct
import subprocess
import time

from lab import REGIONS, Node, Skipped

# Of the product: after a kill, and after whatever was wrong has ended.
GONE_S, WHOLE_S, STALE_S = 40, 40, 15
DAY_S = 86_400


def together(lab, **how):
    nodes = lab.start_nodes(**how)
    lab.whole(nodes, 15)
    return nodes, lab.call_all(nodes)


def partition(lab):
    """One region's node is cut off from the other nodes: no answer changes, staleness is shown on both sides within 15 s, and after the cut all
    nodes show each other within 40 s, by themselves."""
    nodes, clients = together(lab)
    lab.relay.cut(lab.between("eu"))
    cut = time.monotonic()

    def is_stale(region):
        return nodes[region].cluster()["stale"] is True

    for region in REGIONS:
        left = max(1, round(STALE_S - (time.monotonic() - cut)))
        lab.within(left, f"{region} shows that it is stale", lambda region=region: is_stale(region))
    told = nodes["us"].get("/api/metrics/one?scope=cluster")
    lab.expect(told["coverage"]["total"] == 3, f"the others' figures are told with coverage {told['coverage']}")
    time.sleep(max(0, 25 - (time.monotonic() - cut)))
    lab.no_wrong_answer(clients, cut, "no answer changed during the partition")
    lab.relay.cut([])
    lab.whole(nodes, WHOLE_S, "healed by itself")
    lab.within(20, "figures are fresh again", lambda: nodes["us"].get("/api/metrics/one?scope=cluster")["stale"] is False)
    lab.no_wrong_answer(clients)


def kill(lab):
    """A node is killed: the others show it as disconnected within 40 s and their clients notice nothing; it comes back and is known within 10 s.
    One that is ended by SIGTERM is forgotten within 2 s."""
    nodes, clients = together(lab)
    clients.pop("ap").end()
    nodes["ap"].end()
    killed = time.monotonic()
    for region in ("eu", "us"):
        node, left = nodes[region], max(1, round(GONE_S - (time.monotonic() - killed)))
        lab.within(left, f"{region} shows the killed node as disconnected", lambda node=node: node.state_of("ap") == "disconnected")
    nodes["ap"] = Node(lab, "ap")
    lab.whole(nodes, 10, "it is back")
    nodes["ap"].send(signal.SIGTERM)
    two = {region: nodes[region] for region in ("eu", "us")}
    lab.whole(two, 2, "one that says that it leaves is forgotten")
    lab.no_wrong_answer(clients)


def rolling(lab):
    """Nodes of another build are replaced one by one: after each step all show each other within 20 s, whoever is replaced tells the figures of all
    that are (and of the others, as far as their build tells any), and no call fails at a node that is up."""
    older = lab.setting.other_binary
    if older is None:
        raise Skipped("--other-binary names no other build of lasso")
    nodes, clients = together(lab, binary=older.resolve())
    time.sleep(2)
    for count, region in enumerate(REGIONS, 1):
        client = clients[region].end()
        lab.no_wrong_answer({region: client}, what=f"{region}, until it was replaced")
        nodes[region].end(signal.SIGTERM)
        nodes[region] = Node(lab, region)
        lab.whole(nodes, 20, f"{region} is replaced")
        clients[region] = lab.call_all({region: nodes[region]})[region]
        time.sleep(2)
        for node in [nodes[done] for done in REGIONS[:count]]:
            lab.within(20, f"{node.region} tells of {count} and more", lambda node=node: tells(node) >= count)
    versions = sorted({str(one["version"]) for one in nodes["eu"].cluster()["nodes"]})
    lab.no_wrong_answer(clients, what=f"no call failed (versions shown at the end: {', '.join(versions)})")


def tells(node):
    """How many nodes' figures are in what it tells of three. A build that tells only of itself is not asked for more."""
    coverage = node.get("/api/metrics/one?scope=cluster").get("coverage")
    if coverage is None:
        return len(REGIONS)
    return coverage["responding"] if coverage["total"] == 3 else 0


SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static const volatile int64_t *seconds;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("DRILL_CLOCK"), O_RDONLY);
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
    seconds = page == MAP_FAILED ? 0 : page;
}
int clock_gettime(clockid_t id, struct timespec *out) {
    int failed = syscall(SYS_clock_gettime, id, out);
    if (!failed && id == CLOCK_REALTIME && seconds) out->tv_sec += *seconds;
    return failed;
}
"""


def build_shim(lab):
    source, made = lab.setting.work / "clock.c", lab.setting.work / "clock.so"
    source.write_text(SHIM)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(made), str(source)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as why:
        raise Skipped(f"the wall clock of one process is moved by a small library, and there is no C compiler ({why})") from why
    return made


def clock(lab):
    """One node's wall clock is a day ahead, and then jumps two days back; after that its process stands still for 20 s, as on a machine that is moved.
    The cluster is whole, the clock's error is shown, and no call fails at the others. A kernel's one wall clock is not touched: a library moves that process's."""
    shim, page = build_shim(lab), lab.setting.work / "clock.offset"

    def move(seconds):
        page.write_bytes(struct.pack("q", seconds)) if not page.exists() else overwrite(page, struct.pack("q", seconds))

    move(DAY_S)
    nodes = {region: Node(lab, region) for region in ("eu", "ap")}
    nodes["us"] = Node(lab, "us", preload=shim, variables={"DRILL_CLOCK": str(page)})
    lab.whole(nodes, 15, "a day apart, and whole")
    clients = lab.call_all(nodes)

    def skew():
        at = f"{nodes['us'].host.ip}:7946"
        return next(one["clock_skew_ms"] for one in nodes["eu"].cluster()["nodes"] if one["address"] == at) / 1_000

    lab.within(20, "the error is shown", lambda: abs(skew() - DAY_S) < 2)
    move(-DAY_S)
    lab.within(20, "it jumps two days back, which is shown", lambda: abs(skew() + DAY_S) < 2)
    lab.expect(all(node.coverage() == (3, 3) for node in nodes.values()), "and nobody is lost by it")
    lab.no_wrong_answer(clients, what="no call failed")
    nodes["us"].send(signal.SIGSTOP)
    time.sleep(20)
    nodes["us"].send(signal.SIGCONT)
    lab.whole(nodes, WHOLE_S, "whole again after a process stood still for 20 s")
    others = {region: client for region, client in clients.items() if region != "us"}
    lab.no_wrong_answer(others, what="the others' clients noticed nothing")
    lab.within(10, "its clients are served again", lambda: not clients["us"].wrong(time.monotonic() - 2) and clients["us"].from_own(10))


def overwrite(path, data):
    """In place: a process has mapped it."""
    with path.open("r+b") as file:
        file.write(data)
