#!/usr/bin/env python3
# What follows from all runs of a case: medians, ranges, ratios within each round (between runs a few seconds apart, so that the
# machine's drift cancels out), whether the rounds tell two lanes apart, and the speed budgets.

import statistics

from . import lanes, scenario

# Whom every proxy is compared with in the table; a variant also with what it varies.
AGAINST = ("nginx", "relay")
VARIANT_OF = {
    "lasso-ws": "lasso",
    "lasso-ws-epoll": "lasso-epoll",
    "lasso-pages": "lasso",
    "lasso-cluster": "lasso",
    "lasso": "lasso-mute",
}
METRICS = [
    "cpu_us_per_call",
    "system_share",
    "calls_per_second",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "memory_kib",
    "peak_memory_kib",
    "syscalls_per_call",
    "failed_per_10000",
    "disturbed_ms",
    "last_client_ms",
    "last_client_worst_ms",
    "memory_bytes_per_client",
    "own_share",
    "beside_share",
]
# Fewer rounds tell nothing apart, and a smaller difference is not worth a word.
ROUNDS_TO_TELL = 3
WORTH_A_WORD = 0.02

# The speed budgets: proxy, cells, metric, against, bar.
BARS = [
    ("lasso", ["100:64", "100:256"], "cpu_us_per_call", "nginx", 0.70),
    ("lasso", ["10k:64"], "cpu_us_per_call", "nginx", 0.75),
    ("lasso", ["1m:64"], "cpu_us_per_call", "nginx", 1.00),
    ("lasso", ["100:64"], "p99_us", "nginx", 1.00),
    ("lasso", ["100:1"], "cpu_us_per_call", "nginx", 1.00),
    ("lasso-epoll", ["100:64"], "cpu_us_per_call", "nginx", 0.90),
    # A call over a client's WebSocket against one over HTTP, on the same driver.
    ("lasso-ws", ["100:64", "100:256", "10k:64"], "cpu_us_per_call", "lasso", 1.20),
    ("lasso-ws-epoll", ["100:64", "100:256", "10k:64"], "cpu_us_per_call", "lasso-epoll", 1.20),
    # Being seen: log, events and figures at their defaults against none, and five open pages against none.
    ("lasso", ["100:64", "100:256", "10k:64"], "cpu_us_per_call", "lasso-mute", 1.05),
    ("lasso-pages", ["100:64", "100:256", "10k:64"], "cpu_us_per_call", "lasso", 1.05),
    # Being one of several nodes is none of a call's business.
    ("lasso-cluster", ["100:64", "100:256", "10k:64"], "cpu_us_per_call", "lasso", 1.01),
]
# RSS at the end: so many KiB more than the other may have.
MEMORY_BAR = ("lasso", ["1m:64"], "nginx", 8 << 10)


def summary(case, runs):
    """By lane, in the order of the lanes: what could not be run and why, or figures with their marks."""
    return {lane: of_lane(case, lane, runs) for lane in runs}


def of_lane(case, lane, runs):
    own = runs[lane]
    if any("cannot" in run for run in own):
        return {"cannot": own[0]["cannot"], "marks": [], "rejected": False}
    good = [run for run in own if "failed" not in run]
    one = {"marks": merged(own), "note": next((run["note"] for run in good if run.get("note")), None), "rounds": len(own)}
    one["rejected"] = any(mark["rejects"] for mark in one["marks"])
    if not good:
        return {**one, "failed": own[0]["failed"]}
    for metric in METRICS:
        values = [run[metric] for run in good if run.get(metric) is not None]
        if values:
            one[metric] = statistics.median(values)
            one.setdefault("ranges", {})[metric] = [min(values), max(values)]
    others = [other for other in runs if other != lane and lane != "direct"]
    one["against"] = {other: ratios(own, runs[other], [*case.judged, "cpu_us_per_call", "p99_us"]) for other in others}
    one["against"] = {other: found for other, found in one["against"].items() if found}
    return one


def merged(runs):
    """The marks of all rounds, each guard once, with the number of rounds that it stands for."""
    found = {}
    for run in runs:
        for mark in run["marks"]:
            kept = found.setdefault(mark["guard"], {**mark, "rounds": 0})
            kept["rounds"] += 1
    return list(found.values())


def ratios(own, other, metrics):
    """By metric: the median of the ratios within each round, all of them, and what they tell."""
    found = {}
    for metric in dict.fromkeys(metrics):
        pairs = [(a[metric], b[metric]) for a, b in zip(own, other) if a.get(metric) is not None and b.get(metric) is not None]
        # A lane without a process of its own uses no CPU of its own.
        pairs = [pair for pair in pairs if metric != "cpu_us_per_call" or pair[1]]
        if not pairs:
            continue
        all_of_them = [a / b for a, b in pairs if b]
        found[metric] = {
            "median": statistics.median(all_of_them) if all_of_them else None,
            "rounds": all_of_them,
            "tells": tells(pairs),
        }
    return found


def tells(pairs):
    """`less` or `more` where every round says so, by enough to be worth a word; `same` where nothing differs; else None."""
    if len(pairs) < ROUNDS_TO_TELL:
        return None
    if all(a == b for a, b in pairs):
        return "same"
    all_of_them = [a / b for a, b in pairs if b]
    if len(all_of_them) == len(pairs) and abs(statistics.median(all_of_them) - 1) < WORTH_A_WORD:
        return None
    if all(a < b for a, b in pairs):
        return "less"
    return "more" if all(a > b for a, b in pairs) else None


def opponents(results):
    """Whom lasso is held against in words: other proxies, not the floor."""
    return [lane for lane in results if lanes.family(lane) not in ("direct", "relay") and not lanes.is_lasso(lane)]


def verdicts(case, results):
    """lasso against each opponent, by each judged metric: (other, metric, ratio, word)."""
    own = results.get("lasso")
    if not own or "against" not in own:
        return []
    said = []
    for other in opponents(results):
        for metric in case.judged:
            found = own["against"].get(other, {}).get(metric)
            if found:
                is_void = own["rejected"] or results[other]["rejected"]
                word = "void" if is_void else {"less": "wins", "more": "loses", "same": "equal"}.get(found["tells"], "untold")
                said.append({"case": case.label, "other": other, "metric": metric, "ratio": found["median"], "word": word})
    return said


def judge(cases, results):
    """The budgets that this run can tell about; each with whether it holds."""
    cells = {scenario.cell_of(case): results[case.label] for case in cases if scenario.cell_of(case) and case.regime == "same"}
    found = []
    for name, wanted, metric, other, bar in BARS:
        for cell in wanted:
            ratio = cells.get(cell, {}).get(name, {}).get("against", {}).get(other, {}).get(metric, {}).get("median")
            if ratio is not None:
                found.append(
                    {"what": f"{name} {cell} {metric} / {other}", "is": round(ratio, 3), "bar": bar, "holds": ratio <= bar}
                )
    name, wanted, other, room = MEMORY_BAR
    for cell in wanted:
        both = [cells.get(cell, {}).get(lane, {}).get("memory_kib") for lane in (name, other)]
        if None not in both:
            found.append(
                {
                    "what": f"{name} {cell} RSS - {other}, KiB",
                    "is": both[0] - both[1],
                    "bar": room,
                    "holds": both[0] - both[1] <= room,
                }
            )
    return found
