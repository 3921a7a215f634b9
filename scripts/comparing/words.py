#!/usr/bin/env python3
# Figures and findings as people read them; the table, the page and docs/measuring.md say the same.

from . import scenario

UNITS = {
    "cpu_us_per_call": "CPU µs",
    "p50_us": "p50",
    "p99_us": "p99",
    "p999_us": "p99.9",
    "peak_memory_kib": "peak memory",
    "failed_per_10000": "failed of 10,000",
    "disturbed_ms": "noticed for",
    "last_client_ms": "last client",
    "memory_bytes_per_client": "memory a client",
}
WORDS = {
    "wins": "less in every round",
    "loses": "more in every round",
    "equal": "the same",
    "untold": "not told apart",
    "void": "rejected",
}


def metric(name):
    return UNITS.get(name, name)


def short(number):
    """Three digits that count."""
    if number is None:
        return "–"
    if number == 0:
        return "0"
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def tick(name, number):
    """A figure at an axis: its unit stands in the heading of its column."""
    return value(name, number) if number >= 1000 and name.endswith("_us") else f"{number / FACTORS.get(name, 1):,.4g}"


# What a figure is divided by where it is told in a larger unit.
FACTORS = {"peak_memory_kib": 1024, "memory_kib": 1024, "memory_bytes_per_client": 1024}


def value(name, number):
    """A figure with its unit."""
    if number is None:
        return "–"
    if name in ("p50_us", "p99_us", "p999_us"):
        return f"{short(number / 1000)} ms" if number >= 1000 else f"{short(number)} µs"
    if name in ("peak_memory_kib", "memory_kib"):
        return f"{short(number / 1024)} MiB"
    if name == "memory_bytes_per_client":
        return f"{short(number / 1024)} KiB"
    if name in ("disturbed_ms", "last_client_ms"):
        return f"{short(number / 1000)} s" if number >= 1000 else f"{number:.0f} ms"
    return f"{short(number)} µs" if name == "cpu_us_per_call" else short(number)


def short_range(name, low, high):
    return f"{value(name, low)} – {value(name, high)}"


def machine(facts):
    memory = f", {facts['memory_mib'] / 1024:.1f} GiB" if facts["memory_mib"] else ""
    return f"{facts['cpu']}, {facts['cores']} cores{memory}, Linux {facts['kernel']}"


def versions(found):
    return ", ".join(f"{name} {shown}" for name, shown in found.items() if shown)


HEADINGS = {
    "wins": "Less than the other in every round",
    "loses": "More than the other in every round",
    "untold": "The rounds do not tell them apart",
    "equal": "The same in every round",
    "void": "Rejected, so nothing is said",
}


def sorted_out(verdicts):
    """Findings by what they say, a line a case: `steady: 100 B, 64 connections: nginx CPU µs 0.89, p99 0.82; haproxy CPU µs 0.85`."""
    found = {}
    for word, heading in HEADINGS.items():
        cases = {}
        for one in (one for one in verdicts if one["word"] == word):
            ratio = f" {one['ratio']:.2f}" if one["ratio"] is not None else ""
            cases.setdefault(one["case"], {}).setdefault(one["other"], []).append(f"{metric(one['metric'])}{ratio}")
        found[heading] = [
            f"{case}: " + "; ".join(f"{other} {', '.join(all_of)}" for other, all_of in others.items())
            for case, others in cases.items()
        ]
    return found


def marks(lane, one):
    """Lines under a table: what the guards said of a lane."""
    for mark in one["marks"]:
        word = "REJECTED" if mark["rejects"] else "note"
        of = f" ({mark['rounds']} of {one['rounds']} rounds)" if one.get("rounds", 1) > 1 else ""
        yield f"{lane}: {word}, {mark['guard']}{of}: {mark['text']}"


def standing(case, results):
    """One word for a row of docs/measuring.md: how lasso stands to each opponent by the first metric."""
    from .figures import verdicts

    by_word = {}
    for one in verdicts(case, results):
        if one["metric"] == case.judged[0]:
            by_word.setdefault(one["word"], []).append(
                f"{one['other']}" + (f" {one['ratio']:.2f}" if one["ratio"] is not None else "")
            )
    order = [
        ("wins", "less than"),
        ("loses", "**more than**"),
        ("equal", "equal to"),
        ("untold", "not told from"),
        ("void", "rejected:"),
    ]
    return "; ".join(f"{said} {', '.join(by_word[word])}" for word, said in order if word in by_word) or "–"


def title(case):
    """Its name, and its scenario's where it says more."""
    found = scenario.FOLDER / f"{case.scenario}.toml"
    return case.name if not found.exists() else f"{case.scenario}: {case.name}"
