#!/usr/bin/env python3
# Scenario files: TOML, one question each, which its head comment asks. Parsed strictly: what is unknown, missing or of the wrong
# kind is an error with file, line and key. tomllib says nothing of lines, so keys are looked up in the text once more.

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "loadtest" / "scenarios"
REGIMES = ("same", "cross")
METRICS = {
    "cpu_us_per_call": "CPU µs per call",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "p999_us": "p99.9 µs",
    "peak_memory_kib": "peak memory KiB",
    "failed_per_10000": "failed calls of 10,000",
    "disturbed_ms": "ms in which callers noticed",
    "last_client_ms": "ms to the last client",
    "memory_bytes_per_client": "memory bytes per client",
}


class Wrong(Exception):
    """The file is wrong; the text says where and what to write."""


@dataclass(frozen=True)
class Kind:
    """Calls of one method: the size of their results, and their share."""

    method: str
    result: str
    weight: int = 1
    shape: str = "hex"


@dataclass(frozen=True)
class Slow:
    clients: int
    method: str
    result: str
    bytes_per_second: int = 0
    shape: str = "hex"


@dataclass(frozen=True)
class Subscribers:
    clients: int
    events: int
    interval_ms: int = 500
    logs: int = 0
    filters: int = 0


@dataclass(frozen=True)
class Outage:
    kind: str
    from_second: float
    to_second: float


@dataclass(frozen=True)
class Providers:
    count: int = 1
    latency_ms: int = 0
    slow_latency_ms: int = 0
    tls: bool = False
    outage: Outage | None = None


@dataclass(frozen=True)
class Case:
    """One load through each lane, with all that the scenario says of it."""

    scenario: str
    name: str
    judged: tuple
    regime: str
    seconds: float
    warmup_seconds: float
    connections: int
    mix: tuple
    transport: str = "http"
    rate: float | None = None
    burst_calls: int = 1
    batch_calls: int = 1
    deadline_ms: int = 0
    slow: Slow | None = None
    subscribers: Subscribers | None = None
    providers: Providers = field(default_factory=Providers)

    @property
    def label(self):
        return f"{self.scenario}: {self.name}"

    @property
    def expects_trouble(self):
        """Failed calls are what is measured, not a fault of the run."""
        return self.providers.outage is not None

    @property
    def needs_routing(self):
        return self.providers.count > 1

    def scaled(self, seconds):
        """The same within another time: an outage keeps its place in it."""
        outage, factor = self.providers.outage, seconds / self.seconds
        if outage:
            outage = replace(outage, from_second=outage.from_second * factor, to_second=outage.to_second * factor)
        return replace(self, seconds=seconds, providers=replace(self.providers, outage=outage))


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    question: str
    cases: tuple


# What may stand where: key, kind, and whether it must. A kind that is a tuple lists the words.
SIZE, NAME, COUNT, NUMBER, SWITCH = "a size as 100, 10k or 1m", "a method's name", "a whole number", "a number", "true or false"
SHAPE = ("hex", "logs")
CALL = {"method": (NAME, True), "result": (SIZE, True), "shape": (SHAPE, False)}
TABLES = {
    (): {
        "title": ("a text", True),
        "regime": (REGIMES, True),
        "seconds": (NUMBER, True),
        "warmup_seconds": (NUMBER, False),
        "judged": ("a list of metrics", True),
    },
    ("load",): {
        "transport": (("http", "ws"), False),
        "connections": (COUNT, False),
        "rate": (NUMBER, False),
        "burst_calls": (COUNT, False),
        "batch_calls": (COUNT, False),
        "deadline_ms": (COUNT, False),
    },
    ("load", "mix"): {**CALL, "weight": (COUNT, False)},
    ("load", "slow"): {**CALL, "clients": (COUNT, True), "bytes_per_second": (COUNT, False)},
    ("load", "subscribers"): {
        "clients": (COUNT, True),
        "events": (COUNT, True),
        "interval_ms": (COUNT, False),
        "logs": (COUNT, False),
        "filters": (COUNT, False),
    },
    ("providers",): {
        "count": (COUNT, False),
        "latency_ms": (COUNT, False),
        "slow_latency_ms": (COUNT, False),
        "tls": (SWITCH, False),
    },
    ("providers", "outage"): {"from_second": (NUMBER, True), "to_second": (NUMBER, True), "kind": (("refuses", "hangs"), False)},
    ("case",): {
        "name": ("a text", True),
        "clients": (COUNT, False),
        "connections": (COUNT, False),
        "result": (SIZE, False),
        "rate": (NUMBER, False),
        "slow_bytes_per_second": (COUNT, False),
        "outage": (("refuses", "hangs"), False),
    },
}
LISTS = {("load", "mix"), ("case",)}


def fits(kind, value):
    if isinstance(kind, tuple):
        return value in kind
    if kind == SWITCH:
        return isinstance(value, bool)
    if kind == COUNT:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000
    if kind == NUMBER:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9
    if kind == SIZE:
        return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,8}[km]?", value) is not None
    if kind == NAME:
        return isinstance(value, str) and re.fullmatch(r"[a-zA-Z0-9]+_[a-zA-Z0-9]+", value) is not None
    if kind == "a list of metrics":
        return isinstance(value, list) and value and all(one in METRICS for one in value)
    return isinstance(value, str) and value.strip() != ""


def lines_of(text):
    """Where each table and key stands: (path, index, key) to line. A table's own line has the key None."""
    found, path, counts = {}, (), {}
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\[?\s*([A-Za-z0-9_.\-]+)\s*\]\]?", line):
            path = tuple(head[1].split("."))
            counts[path] = counts.get(path, -1) + 1
            found[path, counts[path], None] = number
        elif key := re.match(r"\s*([A-Za-z0-9_\-]+)\s*=", line):
            found[path, counts.get(path, 0), key[1]] = number
    return found


class File:
    """One file while it is read."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.text = self.path.read_text()
            self.data = tomllib.loads(self.text)
        except OSError as fault:
            raise Wrong(f"{self.path}: cannot be read: {fault.strerror}") from None
        except tomllib.TOMLDecodeError as fault:
            raise Wrong(f"{self.path}: {fault}") from None
        self.lines = lines_of(self.text)

    def wrong(self, path, index, key, what):
        places = [(path, index, key), (path + (key,), 0, None), (path, index, None)]
        line = next((self.lines[place] for place in places if place in self.lines), 1)
        name = ".".join([*path, *([key] if key else [])])
        return Wrong(f"{self.path}:{line}: {name}: {what}")

    def table(self, path, data, index=0):
        """The table's own values, checked; tables below it are left to their own look."""
        known, below = TABLES[path], {one[len(path)] for one in TABLES if len(one) == len(path) + 1 and one[: len(path)] == path}
        if not isinstance(data, dict):
            raise self.wrong(path[:-1], 0, path[-1], "must be a table")
        for key, value in data.items():
            if key in below:
                is_list = path + (key,) in LISTS
                if not isinstance(value, list if is_list else dict):
                    raise self.wrong(
                        path,
                        index,
                        key,
                        f"write it as {'[[' if is_list else '['}{'.'.join(path + (key,))}{']]' if is_list else ']'}",
                    )
            elif key not in known:
                near = ", ".join(sorted([*known, *below]))
                raise self.wrong(path, index, key, f"unknown; known here: {near}")
            elif not fits(known[key][0], value):
                kind = known[key][0]
                raise self.wrong(
                    path, index, key, f"must be {kind if isinstance(kind, str) else 'one of ' + ', '.join(kind)}, not {value!r}"
                )
        for key, (_, must) in known.items():
            if must and key not in data:
                raise self.wrong(path, index, None, f"{key} is missing")
        return {key: value for key, value in data.items() if key in known}


def question_of(file):
    """The comment at the head of the file."""
    said = []
    for line in file.text.splitlines():
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# ").rstrip())
    if not " ".join(said).strip():
        raise Wrong(f"{file.path}:1: begins without a comment that says which question it answers")
    return " ".join(said)


def read(path):
    file = File(path)
    data, name = file.data, Path(path).stem
    top = file.table((), data)
    load = data.get("load", {})
    base = file.table(("load",), load)
    mix = tuple(Kind(**file.table(("load", "mix"), one, index)) for index, one in enumerate(load.get("mix", [])))
    slow = Slow(**file.table(("load", "slow"), load["slow"])) if "slow" in load else None
    subscribers = Subscribers(**file.table(("load", "subscribers"), load["subscribers"])) if "subscribers" in load else None
    providers = data.get("providers", {})
    outage = file.table(("providers", "outage"), providers["outage"]) if "outage" in providers else None
    behind = Providers(**file.table(("providers",), providers), outage=outage and Outage(**{"kind": "refuses", **outage}))
    whole = Case(
        scenario=name,
        name="",
        judged=tuple(top["judged"]),
        regime=top["regime"],
        seconds=float(top["seconds"]),
        warmup_seconds=float(top.get("warmup_seconds", 0.5)),
        mix=mix,
        slow=slow,
        subscribers=subscribers,
        providers=behind,
        **{"connections": 1, **base},
    )
    listed = [file.table(("case",), one, index) for index, one in enumerate(data.get("case", []))] or [{"name": top["title"]}]
    cases = tuple(varied(file, whole, index, one) for index, one in enumerate(listed))
    for index, case in enumerate(cases):
        check(file, case, index)
    return Scenario(name, top["title"], question_of(file), cases)


def varied(file, whole, index, one):
    case = replace(whole, name=one["name"])
    for key in ("connections", "rate"):
        if key in one:
            case = replace(case, **{key: one[key]})
    if "result" in one:
        case = replace(case, mix=(Kind("eth_getBalance", one["result"]),))
    if "clients" in one:
        if not case.subscribers:
            raise file.wrong(("case",), index, "clients", "there is no [load.subscribers]")
        case = replace(case, subscribers=replace(case.subscribers, clients=one["clients"]))
    if "slow_bytes_per_second" in one:
        if not case.slow:
            raise file.wrong(("case",), index, "slow_bytes_per_second", "there is no [load.slow]")
        case = replace(case, slow=replace(case.slow, bytes_per_second=one["slow_bytes_per_second"]))
    if "outage" in one:
        if not case.providers.outage:
            raise file.wrong(("case",), index, "outage", "there is no [providers.outage]")
        case = replace(case, providers=replace(case.providers, outage=replace(case.providers.outage, kind=one["outage"])))
    return case


def check(file, case, index):
    """What the keys must be to each other."""
    providers, outage = case.providers, case.providers.outage

    def refuse(path, key, what):
        raise file.wrong(path, 0, key, what)

    if case.subscribers:
        if case.mix or case.slow or case.rate:
            refuse(("load", "subscribers"), None, "subscribers make no calls: leave out mix, slow and rate")
        if providers.count > 1 or providers.tls or outage:
            refuse(("load", "subscribers"), None, "the provider of subscribers is one, without TLS and outages")
        if bool(case.subscribers.logs) != bool(case.subscribers.filters):
            refuse(("load", "subscribers"), "logs", "logs and filters go together")
    elif not case.mix:
        raise file.wrong(("case",), index, None, "no call is named: write [[load.mix]], or a result in each case")
    clients = case.subscribers.clients if case.subscribers else case.connections
    if not 0 < clients <= 16_000:
        refuse(("load",), "connections", "connections and clients must be 1 to 16000")
    if case.burst_calls != 1 and case.rate is None:
        refuse(("load",), "burst_calls", "bursts need a rate")
    if not 0 < providers.count <= 8:
        refuse(("providers",), "count", "must be 1 to 8")
    if providers.slow_latency_ms and providers.count < 2:
        refuse(("providers",), "slow_latency_ms", "the first provider is slow beside others: count must be at least 2")
    if outage:
        if not outage.from_second < outage.to_second <= case.seconds:
            refuse(
                ("providers", "outage"),
                "to_second",
                f"must lie behind from_second and within the {case.seconds:g} measured seconds",
            )
        if providers.count < 2 or not case.deadline_ms or case.rate is None:
            refuse(("providers", "outage"), None, "an outage needs two providers, and callers with a rate and a deadline_ms")


def find(word):
    """A file by its path, or one of ours by its name."""
    ours = FOLDER / f"{word}.toml"
    if ours.exists() and "/" not in word:
        return ours
    if Path(word).suffix == ".toml":
        return Path(word)
    raise Wrong(f"no scenario is called {word}; scripts/compare --scenarios lists them, and a path of a file ends in .toml")


def ours():
    return sorted(FOLDER.glob("*.toml"))


CELL_UNITS = {"1m": "1 MiB", "10k": "10 KiB"}


def cells(words, seconds, warmup, regime):
    """The scenario that --cells asks for: sizes and connections, one call in flight on each."""
    cases = []
    for word in words:
        size, _, count = word.partition(":")
        if not fits(SIZE, size) or not count.isdigit() or not 0 < int(count) <= 4096:
            raise Wrong(f"--cells {word}: expected SIZE:CONNECTIONS, as 100:64, 10k:1 or 1m:256")
        name = f"{CELL_UNITS.get(size, size + ' B')}, {count} connection{'' if count == '1' else 's'}"
        cases.append(
            Case(
                "cells", name, ("cpu_us_per_call", "p99_us"), regime, seconds, warmup, int(count), (Kind("eth_getBalance", size),)
            )
        )
    return Scenario("cells", "Cells", "What does a call cost at each size and number of connections?", tuple(cases))


def cell_of(case):
    """`100:64` for a plain case, by which the budgets know it."""
    plain = Case(
        case.scenario, case.name, case.judged, case.regime, case.seconds, case.warmup_seconds, case.connections, case.mix
    )
    if case != plain or len(case.mix) != 1:
        return None
    return f"{case.mix[0].result}:{case.connections}"
