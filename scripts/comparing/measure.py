#!/usr/bin/env python3
# One run: fresh providers, a fresh proxy, one load, and what the guards say of it. A run that failed is a report with a mark,
# never a hole.

import json
import subprocess
import time

from . import guards, lanes, providers
from .machine import Fault
from .pages import Page

# The part of the measured time over which system calls are counted.
SYSCALL_SHARE = 0.5
# Beyond the measured time, for calls without an answer and for connecting.
GRACE_SECONDS = 40
# A caller notices what takes this long; an answer of these scenarios' providers takes a few milliseconds.
NOTICED_MS = 100


def run(bench, lane, case, peers, files):
    """`{"cannot": …}`, or a report with its `marks`."""
    reason = lanes.cannot(lane, case, peers, files)
    if reason:
        return {"cannot": reason, "marks": []}
    started, door = len(bench.running), None
    try:
        # The bare loop delivers itself, so it has the proxy's core.
        is_bare = case.subscribers and lane == "direct"
        behind = providers.start(bench, case, bench.machine.proxy_core if is_bare else bench.machine.load_core)
        door = lanes.open_door(bench, lane, case, behind, peers)
        take = subscribe if case.subscribers else call
        return take(bench, lane, case, behind, door)
    except Fault as fault:
        return {"failed": str(fault), "marks": [guards.Mark("failed", str(fault).strip()).__dict__]}
    finally:
        for one in reversed(bench.running[started:]):
            bench.end(one)


def call(bench, lane, case, behind, door):
    options = bench.options
    if lane == "lasso-cluster":
        lanes.start_companions(bench, door.port, behind)
    watched = door.running.ids() if door.running else []
    pages = [Page(door.port) for _ in range(lanes.PAGES if lane == "lasso-pages" else 0)]
    before = behind.counts()
    command = load_command(bench, lane, case, behind, door, watched)
    load = bench.start("load", command, bench.machine.load_core)
    outage = begin_outage(bench, case, behind, load)
    counter = count_syscalls(options, case, watched)
    report = finish(load, case)
    if counter:
        report["syscalls_per_call"] = counted(counter, report, case)
    if outage:
        outage.join(GRACE_SECONDS)
        if outage.fault:
            raise outage.fault
        trouble(report)
    if door.running:
        door.running.check()
    if any(page.heard == 0 for page in pages):
        raise Fault("a page heard nothing")
    seen = None if case.expects_trouble else difference(behind.counts(), before)
    report["seen"] = seen
    looked = guards.Run(
        case,
        lane,
        report,
        seen,
        door.running and door.running.cores(),
        bench.machine.proxy_core,
        case.regime,
        door.running.log.stat().st_size if door.running else 0,
        options.correctness,
    )
    report["marks"] = [mark.__dict__ for mark in guards.look(looked)]
    report["note"] = lanes.note(lane, case)
    return report


def difference(after, before):
    return {name: value - before.get(name, 0) for name, value in after.items()}


def load_command(bench, lane, case, behind, door, watched):
    command = [bench.loadtest, "load", "--target", f"127.0.0.1:{door.port}", "--path", door.path, "--host", door.host]
    command += ["--concurrency", case.connections, "--warmup-seconds", case.warmup_seconds, "--seconds", case.seconds]
    for kind in case.mix:
        command += ["--call", f"{kind.method}={kind.result}:{kind.weight}"]
    command += ["--rate", case.rate, "--burst", case.burst_calls] if case.rate else []
    command += ["--batch", case.batch_calls] if case.batch_calls > 1 else []
    command += ["--deadline-ms", case.deadline_ms] if case.deadline_ms else []
    command += ["--tolerate"] if case.expects_trouble else []
    command += ["--ws"] if lanes.over_socket(lane, case) else []
    if case.slow:
        slow = case.slow
        command += [
            "--slow",
            slow.clients,
            "--slow-call",
            f"{slow.method}={slow.result}",
            "--slow-bytes-per-second",
            slow.bytes_per_second,
        ]
    for one in watched:
        command += ["--watch", one]
    # A provider that will be killed cannot be watched to the end.
    for one in behind.ids()[1 if case.expects_trouble else 0 :]:
        command += ["--beside", one]
    return command


def begin_outage(bench, case, behind, load):
    """Its clock begins with the load's, whose warm-up comes first."""
    if not case.providers.outage:
        return None
    begins_at = time.monotonic() + case.warmup_seconds
    outage = providers.Outage(bench, behind, case.providers.outage, bench.machine.load_core, begins_at)
    outage.start()
    return outage


def finish(load, case):
    try:
        code = load.process.wait(case.warmup_seconds + case.seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        raise Fault("the load did not end") from None
    text = load.log.read_text()
    first = text.splitlines()[0] if text.strip() else ""
    # Errors are told in the report too; without one the load could not even begin.
    if not first.startswith("{"):
        raise Fault(f"the load failed with {code}: {text.strip()[-2000:]}")
    report = json.loads(first)
    if report["calls"] == 0:
        raise Fault(
            f"no call of the measured part was answered: {report['first_error'] or str(report['unsent']) + ' were never sent'}"
        )
    report.update(report.pop("watched"))
    return report


def trouble(report):
    """What callers saw of an outage: calls without a good answer, and tenths of a second in which somebody noticed."""
    failed = report["errors"] + report["unsent"]
    report["failed_per_10000"] = round(10_000 * failed / max(1, report["calls"] + failed), 2)
    report["disturbed_ms"] = 100 * sum(1 for _, bad, worst_ms in report["tenths"] if bad or worst_ms > NOTICED_MS)


def count_syscalls(options, case, watched):
    """perf over the middle of the measured part. Perturbs a little, so only when asked for."""
    if not (options.syscalls and watched):
        return None
    time.sleep(case.warmup_seconds + case.seconds * (1 - SYSCALL_SHARE) / 2)
    ids = ",".join(str(one) for one in watched)
    command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ids, "--", "sleep", str(case.seconds * SYSCALL_SHARE)]
    try:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except OSError:
        raise Fault("--syscalls needs perf, which is not installed") from None


def counted(counter, report, case):
    found = counter.communicate(timeout=30)[1].split(",")[0]
    if not found.isdigit():
        raise Fault(f"perf counted no system calls ({found}); a longer --seconds may help")
    return int(found) / (report["calls_per_second"] * case.seconds * SYSCALL_SHARE)


def subscribe(bench, lane, case, behind, door):
    wanted = case.subscribers
    server = door.running or behind.mocks[0]
    command = [bench.loadtest, "subscribe", "--target", f"127.0.0.1:{door.port}", "--path", door.path, "--host", door.host]
    command += ["--concurrency", wanted.clients, "--events", wanted.events, *providers.spread(wanted)]
    for one in server.ids():
        command += ["--watch", one]
    load = bench.start("subscribe", command, bench.machine.load_core)
    try:
        code = load.process.wait(120 + wanted.events * wanted.interval_ms / 1000)
    except subprocess.TimeoutExpired:
        raise Fault("the clients did not end") from None
    text = load.log.read_text().strip()
    if code != 0:
        raise Fault(f"the clients failed: {text[-2000:]}")
    report = json.loads(text.splitlines()[0])
    report.update(report.pop("watched"))
    report["last_client_ms"], report["last_client_worst_ms"] = report["last_client_ms"]["p50"], report["last_client_ms"]["max"]
    report["own_share"] = report["own_cpu_us_per_delivery"] * report["deliveries"] / 1e6 / report["seconds"]
    report["seen"] = behind.counts()
    server.check()
    marks = guards.subscribers(case, lane, report, report["seen"], server.cores(), bench.machine.proxy_core)
    report["marks"] = [mark.__dict__ for mark in marks]
    report["note"] = lanes.note(lane, case)
    return report
