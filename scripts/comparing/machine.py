#!/usr/bin/env python3
# The machine: who runs on which core, and what a reader must know of it to believe a figure.

import os
import platform
import re
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


class Fault(Exception):
    """The run is worth nothing; the text says why."""


@dataclass
class Machine:
    """Who runs on which core."""

    proxy_core: int
    load_core: int


def cores(regime):
    """All on one core, or the proxy alone on the first."""
    usable = sorted(os.sched_getaffinity(0))
    if regime == "cross" and len(usable) < 2:
        raise Fault("the cross-core regime needs two cores")
    return Machine(usable[0], usable[1] if regime == "cross" else usable[0])


def raise_files():
    """As many open files as this process may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (65_536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), max(most, hard)))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def first(path, pattern):
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return found and found[1].strip()


def facts():
    """What the report says of the machine."""
    memory = first("/proc/meminfo", r"^MemTotal:\s*(\d+)")
    return {
        "cpu": first("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "memory_mib": int(memory) // 1024 if memory else None,
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def find(program):
    """Where a program is, also where only root looks; None when it is not installed."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def version(command, pattern=r"(\d+\.\d+[\w.\-+]*)"):
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    found = re.search(pattern, shown.stdout + shown.stderr)
    return found and found[1]
