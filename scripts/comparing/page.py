#!/usr/bin/env python3
# The report as one page: opened from a disk, sent by mail, printed. No script, no request: style and drawings are in it, and a
# policy in its head forbids everything else. The style is that of `lasso bench`'s report, read from where that has it, with a few
# rules of our own behind it.

import base64
import hashlib
from html import escape
from pathlib import Path

from . import drawing, lanes, words

STYLE = Path(__file__).resolve().parent.parent.parent / "src" / "bench" / "report" / "html" / "style.css"
OWN_STYLE = """
.case + .case { margin-top: 1.5rem; }
.case h3 { margin-bottom: 0.15rem; }
.case .how { color: var(--text-3); font-size: 0.75rem; margin-bottom: 0.4rem; }
.case .word { color: var(--text-3); }
.case .late b, .case .late th { color: var(--bad); }
.case th .under-name { font-weight: 400; }
.case .own-lane th, .case .own-lane b { color: var(--accent); }
.case .late.own-lane th, .case .late.own-lane b { color: var(--bad); }
.marks { margin-top: 0.4rem; font-size: 0.75rem; color: var(--text-2); }
.marks .bad { color: var(--bad); font-weight: 560; }
.run code { font-weight: 500; }
.run .command { grid-column: 1 / -1; }
"""
MARK = (
    '<svg class="logo" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32"'
    ' rx="8"/><g><ellipse cx="16" cy="12.5" rx="9" ry="5.5"/><path d="M11.5 17.3c-.6 3.4 1.2 5 4 5.4 2.6.4 4.3 1.2 4.5'
    ' 3.3"/></g></svg>'
)


def style():
    return STYLE.read_text() + OWN_STYLE


def page(report):
    css = style()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    body = (
        header(report)
        + "<main>"
        + verdict(report)
        + "".join(scenario(report, one) for one in report["scenarios"])
        + budgets(report)
        + reading()
        + "</main>"
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"'
        f' content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer"><title>Proxies compared · lasso</title><link rel="icon" href="data:,">'
        f"<style>{css}</style></head><body>{body}<footer><p>one file, no script, nothing was loaded ·"
        f" {escape(report['machine']['date'])}</p></footer></body></html>"
    )


def header(report):
    machine, options = report["machine"], report["options"]
    memory = f"{machine['memory_mib'] / 1024:.1f} GiB" if machine["memory_mib"] else "–"
    facts = [
        ("when", machine["date"]),
        ("CPU", machine["cpu"]),
        ("cores", f"{machine['usable_cores']} of {machine['cores']}"),
        ("memory", memory),
        ("kernel", machine["kernel"]),
        ("rounds", options["rounds"]),
        ("binaries", options["profile"]),
        ("load before", machine["load_average_before"]),
    ]
    facts += [(name, shown or "–") for name, shown in report["versions"].items()]
    shown = "".join(f"<div><dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts)
    shown += f"<div class=\"command\"><dt>command</dt><dd><code>{escape(report['command'])}</code></dd></div>"
    return (
        f'<header class="top"><p class="brand">{MARK}lasso compare</p><h1>lasso beside other proxies</h1><dl'
        f' class="run">{shown}</dl></header>'
    )


def lead(report):
    counted = {word: sum(1 for one in report["verdicts"] if one["word"] == word) for word in words.WORDS}
    total = len(report["verdicts"])
    if not total:
        return "This run holds lasso against no other proxy."
    if report["options"]["rounds"] < 3:
        return f"One or two rounds tell nothing apart: {total} comparisons without a verdict."
    return (
        f"In {total} comparisons lasso took less in every round in {counted['wins']} and more in every round in"
        f" {counted['loses']}; {counted['untold'] + counted['equal']} the rounds do not tell apart"
        + (f", and {counted['void']} are of rejected runs." if counted["void"] else ".")
    )


def verdict(report):
    rejected = [
        f"{case.label}, {lane}"
        for case in report["cases"]
        for lane, one in report["results"][case.label].items()
        if one["rejected"]
    ]
    ended = f'<p class="ended">Rejected by a guard: {escape("; ".join(rejected))}</p>' if rejected else ""
    groups = ""
    for title, findings in words.sorted_out(report["verdicts"]).items():
        if findings:
            is_bad = "bad" if title.startswith(("More", "Rejected")) else ""
            items = "".join(f"<li>{escape(line)}</li>" for line in findings)
            groups += f'<div class="group"><h3 class="{is_bad}">{escape(title)}</h3><ul>{items}</ul></div>'
    return (
        f'<section class="card verdict" aria-labelledby="verdict"><h2 id="verdict">Verdict</h2>{ended}<p'
        f' class="lead">{escape(lead(report))}</p><div class="said">{groups}</div></section>'
    )


def scenario(report, one):
    cases = "".join(case(report, each) for each in report["cases"] if each.scenario == one.name)
    return (
        f'<section class="card" aria-labelledby="s-{escape(one.name)}"><div class="head"><h2'
        f' id="s-{escape(one.name)}">{escape(one.title)}</h2><p class="hint">{prose(one.question)}</p></div>{cases}</section>'
    )


def prose(text):
    """Names between backticks are code."""
    return "".join(f"<code>{escape(part)}</code>" if index % 2 else escape(part) for index, part in enumerate(text.split("`")))


def how(each):
    """One line of what was done."""
    if each.subscribers:
        said = [
            f"{each.subscribers.clients:,} clients",
            f"{each.subscribers.events} events, one every {each.subscribers.interval_ms} ms",
        ]
    else:
        said = [
            f"{each.connections} connection{'' if each.connections == 1 else 's'}",
            f"open loop, {each.rate:g} calls/s" if each.rate else "closed loop",
            f"{each.seconds:g} s after {each.warmup_seconds:g} s",
        ]
    said += [f"bursts of {each.burst_calls}"] if each.burst_calls > 1 else []
    said += [f"batches of {each.batch_calls}"] if each.batch_calls > 1 else []
    said += [f"{each.providers.count} providers"] if each.providers.count > 1 else []
    return " · ".join(
        [*said, "proxy, provider and load on one core" if each.regime == "same" else "the proxy has a core of its own"]
    )


def case(report, each):
    results, first = report["results"][each.label], each.judged[0]
    seen = [bound for one in results.values() for bound in one.get("ranges", {}).get(first, [])]
    axis = drawing.Axis([value for value in seen if value] or [1.0])
    heads = "".join(f'<th scope="col" class="num roomy">{escape(words.metric(name))}</th>' for name in each.judged[1:])
    body = "".join(row(each, lane, one, results, axis) for lane, one in results.items())
    lines = "".join(
        f'<li{" class=bad" if "REJECTED" in line else ""}>{escape(line)}</li>'
        for lane, one in results.items()
        for line in words.marks(lane, one)
    )
    return (
        f'<div class="case"><h3>{escape(each.name)}</h3><p class="how">{escape(how(each))}</p><div class="wide"><table'
        f' class="plots"><thead><tr><th scope="col">lane</th><th scope="col" class="num">{escape(words.metric(first))}</th><th'
        f' scope="col" class="drawn">{drawing.scale(axis, lambda tick: words.tick(first, tick))}</th><th scope="col"'
        f' class="num">lasso is</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
        + (f'<ul class="marks">{lines}</ul>' if lines else "")
        + "</div>"
    )


def row(each, lane, one, results, axis):
    name = (
        f'<th scope="row">{escape(lane)}'
        + (f'<span class="under-name">{escape(one["note"])}</span>' if one.get("note") else "")
        + "</th>"
    )
    rest = len(each.judged) + 1
    classes = " ".join((["late"] if one["rejected"] else []) + (["own-lane"] if lane == "lasso" else []))
    begin = f'<tr class="{classes}">' if classes else "<tr>"
    if "cannot" in one or "failed" in one:
        said = one.get("cannot") or "failed"
        return (
            f'{begin}{name}<td class="num word">{escape(said)}</td><td'
            f' class="drawn">{drawing.empty(axis)}</td>{"<td></td>" + "<td class=roomy></td>" * (rest - 2)}</tr>'
        )
    first = each.judged[0]
    drawn, shown = drawing.empty(axis), "–"
    if one.get(first) is not None and (first != "cpu_us_per_call" or one[first]):
        low, high = one["ranges"][first]
        shown = (
            f"<b>{escape(words.value(first, one[first]))}</b><span"
            f' class="range">{escape(words.short_range(first, low, high))}</span>'
        )
        drawn = drawing.whisker(
            axis, low, one[first], high, f"{lane}: {words.value(first, one[first])}, {words.short_range(first, low, high)}"
        )
    others = "".join(f'<td class="num roomy">{figure(one, metric)}</td>' for metric in each.judged[1:])
    return (
        f'{begin}{name}<td class="num">{shown}</td><td class="drawn">{drawn}</td><td'
        f' class="num">{against(lane, results, first)}</td>{others}</tr>'
    )


def figure(one, metric):
    if one.get(metric) is None or (metric in ("cpu_us_per_call", "peak_memory_kib") and not one[metric]):
        return "–"
    low, high = one["ranges"][metric]
    return f'{escape(words.value(metric, one[metric]))}<span class="range">{escape(words.short_range(metric, low, high))}</span>'


def against(lane, results, metric):
    """lasso by this lane: the ratio, and whether the rounds agree on it."""
    found = results.get("lasso", {}).get("against", {}).get(lane, {}).get(metric) if not lanes.is_lasso(lane) else None
    if not found:
        return "–"
    if found["median"] is None:
        return f'<span class="range">{"equal" if found["tells"] == "same" else "not told apart"}</span>'
    said = {"less": "less", "more": "more", "same": "equal"}.get(found["tells"], "not told apart")
    return f'<b>{found["median"]:.2f} ×</b><span class="range">{said}</span>'


def budgets(report):
    if not report["budgets"]:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(one["what"])}</th><td class="num">{one["is"]}</td><td class="num">{one["bar"]}</td>'
        f'<td><span class="badge{"" if one["holds"] else " bad"}">{"holds" if one["holds"] else "missed"}</span></td></tr>'
        for one in report["budgets"]
    )
    return (
        '<section class="card" aria-labelledby="budgets"><h2 id="budgets">Speed budgets</h2><div class="wide"><table'
        ' class="facts"><thead><tr><th scope="col">what</th><th scope="col" class="num">is</th><th scope="col"'
        f' class="num">bar</th><th scope="col"></th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


WORDS = [
    (
        "Lanes",
        (
            "Direct is the load straight at the provider, relay copies bytes and looks at none: the floor. The other lanes are"
            " proxies at their best for this work, each started afresh for each run."
        ),
    ),
    (
        "CPU",
        (
            "is user and system time of all of the proxy's processes by the scheduler's clock, divided by the calls that were"
            " answered. It hardly depends on what else the machine does."
        ),
    ),
    (
        "Times",
        (
            "of an open loop run from when a call was due, so a stall is charged to all that had to wait. In the closed loop on"
            " one core they contain the load's and the provider's own time: compare lanes, do not quote them."
        ),
    ),
    (
        "Ranges",
        (
            "are the least and the most of all rounds. Ratios are taken within a round and their median is shown; a verdict needs"
            " every round on one side."
        ),
    ),
    (
        "Rejected",
        (
            "runs stay in the report with the guard's reason: errors, wrong answers, answers that the provider did not give, a"
            " saturated generator, calls that could not be sent."
        ),
    ),
    ("Elsewhere", "figures differ. Ratios travel better than figures, and neither travels far."),
]


def reading():
    rows = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS)
    return f'<section class="card notes" aria-labelledby="notes"><h2 id="notes">How to read this</h2><dl>{rows}</dl></section>'
