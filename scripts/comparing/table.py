#!/usr/bin/env python3
# The tables: one for each case on a terminal, one for all in Markdown.

from . import words


def number(one, name, form, factor=1.0):
    return format(one[name] * factor, form) if one.get(name) is not None else "-"


def ratio(one, other, metric="cpu_us_per_call"):
    found = one.get("against", {}).get(other, {}).get(metric, {}).get("median")
    return f"{found:.2f}" if found is not None else "-"


def span(one, name):
    low, high = one.get("ranges", {}).get(name, (None, None))
    return f"[{low:.1f}-{high:.1f}]" if low is not None else "-"


def cost(one, lane, text):
    """direct has no process whose CPU could be told."""
    return text if lane != "direct" or one.get("cpu_us_per_call") else "-"


CPU = [
    ("CPU us/call", 12, lambda one, lane: cost(one, lane, number(one, "cpu_us_per_call", ".2f"))),
    ("[range]", 16, lambda one, lane: cost(one, lane, span(one, "cpu_us_per_call"))),
    ("sys", 5, lambda one, lane: cost(one, lane, number(one, "system_share", ".0%"))),
]
CALLS = [
    *CPU,
    ("calls/s", 9, lambda one, _: number(one, "calls_per_second", ".0f")),
    ("p50 us", 8, lambda one, _: number(one, "p50_us", ".0f")),
    ("p99 us", 8, lambda one, _: number(one, "p99_us", ".0f")),
    ("p99.9 us", 9, lambda one, _: number(one, "p999_us", ".0f")),
    ("RSS MiB", 8, lambda one, lane: cost(one, lane, number(one, "memory_kib", ".1f", 1 / 1024))),
]
PEAK = [("peak MiB", 9, lambda one, lane: cost(one, lane, number(one, "peak_memory_kib", ".1f", 1 / 1024)))]
RATIOS = [
    ("CPU/nginx", 10, lambda one, _: ratio(one, "nginx")),
    ("CPU/relay", 10, lambda one, _: ratio(one, "relay")),
    ("p99/nginx", 10, lambda one, _: ratio(one, "nginx", "p99_us")),
]
OUTAGE = [
    ("failed/10k", 11, lambda one, _: number(one, "failed_per_10000", ".2f")),
    ("noticed ms", 11, lambda one, _: number(one, "disturbed_ms", ".0f")),
]
SUBSCRIBERS = [
    ("CPU us/event", 12, CPU[0][2]),
    *CPU[1:],
    ("last client ms", 15, lambda one, _: number(one, "last_client_ms", ".0f")),
    ("[worst]", 9, lambda one, _: number(one, "last_client_worst_ms", ".0f")),
    ("B/client", 9, lambda one, _: number(one, "memory_bytes_per_client", ".0f")),
    ("CPU/nginx", 10, lambda one, _: ratio(one, "nginx")),
    ("CPU/direct", 11, lambda one, _: ratio(one, "direct")),
]
SYSCALLS = [("syscalls", 9, lambda one, _: number(one, "syscalls_per_call", ".2f"))]


def columns(case, results):
    if case.subscribers:
        return SUBSCRIBERS
    more = OUTAGE if case.expects_trouble else []
    more = more + (PEAK if "peak_memory_kib" in case.judged else [])
    return CALLS + more + RATIOS + (SYSCALLS if any("syscalls_per_call" in one for one in results.values()) else [])


def case_table(case, results):
    """One line a lane; a lane that cannot says why in its place, and what the guards said follows."""
    shown = columns(case, results)
    wide = max([14, *map(len, results)])
    lines = [f"\n{case.label}", " " * wide + "".join(f" {title:>{width}}" for title, width, _ in shown)]
    for lane, one in results.items():
        if "cannot" in one:
            lines.append(f"{lane:{wide}} {one['cannot']}")
        elif "failed" in one:
            lines.append(f"{lane:{wide}} failed")
        else:
            cells = "".join(f" {of(one, lane):>{width}}" for _, width, of in shown)
            lines.append(
                f"{lane:{wide}}{cells}"
                + ("  REJECTED" if one["rejected"] else "")
                + (f"  ({one['note']})" if one.get("note") else "")
            )
    for lane, one in results.items():
        lines += [f"{'':{wide}} {line}" for line in words.marks(lane, one)]
    return "\n".join(lines)


INTRODUCTION = (
    "Each proxy with one worker or shard, at its best for the work, lasso at its defaults; started afresh for each run. CPU is"
    " user and system time per call or delivered event; ratios are lasso's to the other's, and *less* or *more* is said where"
    " every round agrees."
)


def markdown(report):
    """All cases by their first metric, with what lasso's runs say of it, and how it was measured."""
    lanes = report["lanes"]
    shown = [
        lane
        for lane in lanes
        if any("cannot" not in report["results"][case.label][lane] for case in report["cases"]) and lane != "direct"
    ]
    lines = [
        INTRODUCTION,
        "",
        f"| what, and by which figure (less is better) | {' | '.join(shown)} | lasso is |",
        "|---" * (len(shown) + 2) + "|",
    ]
    for case in report["cases"]:
        results, metric = report["results"][case.label], case.judged[0]
        cells = [cell(results[lane], metric) for lane in shown]
        lines.append(f"| {words.title(case)}, {words.metric(metric)} | {' | '.join(cells)} | {words.standing(case, results)} |")
    facts, options = report["machine"], report["options"]
    lines += [
        "",
        (
            f"`{report['command']}` on {facts['date']}: {words.machine(facts)}; {words.versions(report['versions'])}; medians of"
            f" {options['rounds']} rounds, ratios within rounds; load average before the start {facts['load_average_before']}."
        ),
    ]
    rejected = [
        f"{case.label}, {lane}"
        for case in report["cases"]
        for lane, one in report["results"][case.label].items()
        if one["rejected"]
    ]
    if rejected:
        lines += ["", f"† rejected by a guard: {'; '.join(rejected)}."]
    return "\n".join(lines) + "\n"


def cell(one, metric):
    if "cannot" in one:
        return one["cannot"]
    if "failed" in one:
        return "failed†"
    shown = words.value(metric, one.get(metric)) if one.get(metric) is not None else "–"
    return shown + ("†" if one["rejected"] else "")


BEGIN, END = "<!-- scripts/compare --readme: begin -->", "<!-- scripts/compare --readme: end -->"


def has_marks(path):
    whole = path.read_text()
    return whole.count(BEGIN) == whole.count(END) == 1 and whole.index(BEGIN) < whole.index(END)


def put_into(path, text):
    """Replaces what is between the marks, which must be there."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
