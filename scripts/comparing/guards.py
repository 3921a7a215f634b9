#!/usr/bin/env python3
# What makes a run worthless, or its figure something else than it seems: the ways in which other benchmarks went wrong, each as a
# rule over one run. A run that breaks one is marked in every output and makes the command fail; nothing is dropped silently.
# Warnings are told and fail nothing: they are about this hour and this machine. The rules are pure; tests/test_guards.py makes
# each of them trip.

from dataclasses import dataclass

# Calls that were due and not sent, beyond the few of the last moment.
UNSENT_SHARE = 0.001
# Of the core of load and providers, while the proxy's has room: then they are the limit.
BUSY_SHARE = 0.95
# Of the same core in an open loop: beyond it, calls wait for the load and the provider themselves.
OPEN_BUSY_SHARE = 0.80
# Direct must carry this much more than a lane, or the lane was measured at the tools' own limit.
DIRECT_ABOVE = 1.10
# Of the answers, the calls that the provider must have seen: the rest were somebody else's answers.
SEEN_SHARE = 0.99
# Calls of a connection to the provider, at least: fewer, and connections are what is measured.
CALLS_PER_CONNECTION = 20
# Measured time against what was asked for.
TIME_SLACK = 0.2
# Halves of the measured part that differ by more are of a proxy that was still warming up, or of a machine that changed.
DRIFT = 0.25
# Of a line in a log.
LOG_BYTES_PER_CALL = 64
# Of one core, what our processes got when they never sleep.
OURS_SHARE = 0.80


@dataclass(frozen=True)
class Mark:
    """A rule that a run broke."""

    guard: str
    text: str
    rejects: bool = True


@dataclass(frozen=True)
class Run:
    """What the rules look at."""

    case: object
    lane: str
    # The load's report.
    report: dict
    # What the providers counted; None for subscribers.
    seen: dict | None = None
    # Cores of the proxy's processes, and the one it was given.
    cores: dict | None = None
    proxy_core: int = 0
    regime: str = "same"
    log_bytes: int = 0
    # Only whether answers are right is of interest: no rule about speed.
    correctness: bool = False


def errors(run):
    if run.report["errors"] and not run.case.expects_trouble:
        yield Mark(
            "errors", f"{run.report['errors']} calls failed or were answered wrongly; the first: {run.report['first_error']}"
        )


def connections(run):
    report, asked = run.report, run.case.connections
    if report["concurrency"] != asked:
        yield Mark("connections", f"{report['concurrency']} connections instead of {asked}")
    elif run.case.rate is None and report["served"] < asked:
        yield Mark("connections", f"only {report['served']} of {asked} connections were answered: the rest starved")


def provider(run):
    """A cache, a wrong route or an error page would be quick."""
    if not run.seen:
        return
    calls, connections_made = run.seen["calls"], run.seen["connections"]
    is_whole = not run.case.expects_trouble
    if is_whole and calls < run.report["answered"] * SEEN_SHARE:
        yield Mark(
            "provider",
            f"the provider saw {calls} calls of {run.report['answered']} that were answered: somebody else answered the rest",
        )
    # Each connection of the load may have one of the proxy's; beyond that they must be used again.
    usual = run.case.connections * run.case.providers.count + 64
    if is_whole and not run.case.slow and connections_made > usual and calls < connections_made * CALLS_PER_CONNECTION:
        yield Mark(
            "reuse",
            f"{connections_made} connections to the provider for {calls} calls: they are not kept alive, so opening them is what"
            " was measured",
        )


def affinity(run):
    strayed = {one: sorted(cores) for one, cores in (run.cores or {}).items() if cores != {run.proxy_core}}
    if strayed:
        yield Mark("cores", f"the proxy left core {run.proxy_core}: {strayed}")


def measured_time(run):
    asked, took = run.case.seconds, run.report["seconds"]
    if abs(took - asked) > asked * TIME_SLACK:
        yield Mark("time", f"measured {took:.2f} s instead of {asked:g} s")


def unsent(run):
    missing = run.report["unsent"]
    if run.case.rate is None or run.case.expects_trouble or not missing:
        return
    share = missing * run.report["batch"] / (run.report["calls"] + missing * run.report["batch"])
    if share > UNSENT_SHARE:
        yield Mark(
            "unsent",
            f"{100 * share:.1f}% of the calls found no free connection when they were due: the rate is too high for this lane",
        )


def generator(run):
    """Load and providers against the core that they have. In a closed loop direct is their limit, and is there to show it."""
    report = run.report
    busy = report["own_share"] + report["beside_share"]
    if run.case.rate is not None and busy > OPEN_BUSY_SHARE:
        yield Mark(
            "generator", f"load and providers had {100 * busy:.0f}% of their core: calls waited for them, not for the proxy"
        )
    elif (
        run.regime == "cross"
        and run.case.rate is None
        and run.lane != "direct"
        and busy > BUSY_SHARE
        and report["watched_share"] < BUSY_SHARE
    ):
        yield Mark(
            "generator",
            f"load and providers had {100 * busy:.0f}% of their core and the proxy {100 * report['watched_share']:.0f}% of its"
            " own: the tools were the limit; give a --rate, or read CPU per call on one core",
        )


def warmth(run):
    halves = run.report.get("halves")
    if halves and run.case.rate is None and not run.correctness and min(halves) < max(halves) * (1 - DRIFT):
        yield Mark(
            "drift",
            f"{halves[0]:.0f} calls/s in the first half and {halves[1]:.0f} in the second: not warm, or the machine changed",
            rejects=False,
        )


def logs(run):
    calls = max(1, run.report["answered"])
    if run.log_bytes / calls > LOG_BYTES_PER_CALL:
        yield Mark("logs", f"wrote {run.log_bytes / calls:.0f} bytes of log for each call, which others do not", rejects=False)


def company(run):
    """In the closed loop on one core nobody sleeps: what is missing was somebody else's."""
    report = run.report
    if run.regime != "same" or run.case.rate is not None or run.case.providers.latency_ms or report["concurrency"] < 16:
        return
    ours = report["own_share"] + report["beside_share"] + report["watched_share"]
    if ours < OURS_SHARE:
        yield Mark("company", f"our processes had {100 * ours:.0f}% of the core: somebody else works here", rejects=False)


CORRECTNESS = [errors, connections, provider, affinity]
SPEED = [measured_time, unsent, generator, warmth, logs, company]


def look(run):
    """All marks of one run of calls."""
    rules = CORRECTNESS if run.correctness else [*CORRECTNESS, *SPEED]
    return [mark for rule in rules for mark in rule(run)]


def above(case, lane, runs, direct):
    """Against the direct lane, once a case is over: closed loops only, because an open loop has the rate that was asked for."""
    if lane == "direct" or not direct or not runs or case.rate is not None or case.subscribers or case.providers.latency_ms:
        return []
    most, own = max(run["calls_per_second"] for run in direct), max(run["calls_per_second"] for run in runs)
    if most < own * DIRECT_ABOVE:
        return [
            Mark("direct", f"direct carried {most:.0f} calls/s and this lane {own:.0f}: it was measured at the tools' own limit")
        ]
    return []


def subscribers(case, lane, report, seen, cores, proxy_core):
    """Of a run of subscribers. That each had every event once and in order is an error of the load itself."""
    marks = []
    if report["clients"] != case.subscribers.clients:
        marks.append(Mark("connections", f"{report['clients']} clients instead of {case.subscribers.clients}"))
    if lane.startswith("lasso") and seen["most"] > 1:
        marks.append(Mark("provider", f"the provider saw {seen['most']} subscriptions of lasso at once instead of one"))
    share = report["own_share"]
    if share > BUSY_SHARE:
        marks.append(
            Mark("generator", f"the clients had {100 * share:.0f}% of their core: they were the last to know by themselves")
        )
    marks += affinity(Run(case, lane, report, cores=cores, proxy_core=proxy_core))
    return marks
