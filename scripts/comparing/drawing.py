#!/usr/bin/env python3
# The drawings of the page: a figure with its range on an axis. SVG inside the page, drawn once; places are per cent, so that a
# drawing fills whatever room there is. As in the report of `lasso bench`, whose style they share: nothing is told by colour
# alone.

import math
from html import escape

# Beyond this factor between the least and the most, lanes lie apart by factors and so do the marks.
LOG_FACTOR = 15


class Axis:
    """From a value to its place between left and right, and the marks in between."""

    def __init__(self, values):
        values = [value for value in values if value is not None and math.isfinite(value) and value >= 0]
        least, self.high = (min(values), max(values)) if values else (0.0, 1.0)
        self.is_log = least > 0 and self.high / least > LOG_FACTOR
        self.low = least / 1.3 if self.is_log else 0.0
        self.high = self.high * (1.3 if self.is_log else 1.08) or 1.0

    def place(self, value):
        if self.is_log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return 100 * min(1.0, max(0.0, share))

    def ticks(self):
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = (1, 2, 5) if self.high / self.low < 100 else (1, 3) if self.high / self.low < 3000 else (1,)
            return [digit * 10.0**power for power in powers for digit in digits if self.low <= digit * 10.0**power <= self.high]
        rough = self.high / 4
        power = 10 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
        return [count * step for count in range(6) if count * step <= self.high]


def at(percent):
    return f"{percent:.2f}%"


def grid(axis):
    return "".join(
        f'<line class="grid" x1="{at(axis.place(tick))}" x2="{at(axis.place(tick))}" y1="0" y2="100%"/>' for tick in axis.ticks()
    )


def whisker(axis, low, middle, high, title):
    """The median as a dot, the range of all rounds as a line with ends."""
    left, dot, right = (at(axis.place(value)) for value in (low, middle, high))
    return (
        f'<svg class="plot" width="100%" height="40" role="img"><title>{escape(title)}</title>{grid(axis)}<g class="p50"><line'
        f' class="reach" x1="{left}" x2="{right}" y1="20" y2="20"/><line class="end" x1="{left}" x2="{left}" y1="15"'
        f' y2="25"/><line class="end" x1="{right}" x2="{right}" y1="15" y2="25"/><circle class="mark" cx="{dot}" cy="20"'
        ' r="4.5"/></g></svg>'
    )


def empty(axis):
    return f'<svg class="plot" width="100%" height="40" aria-hidden="true">{grid(axis)}</svg>'


def scale(axis, label):
    """The marks with their numbers; every second one can do without where there is little room."""
    texts = ""
    for index, tick in enumerate(axis.ticks()):
        place = axis.place(tick)
        side = "from" if place < 5 else "until" if place > 95 else "around"
        texts += f'<text x="{at(place)}" y="12" class="{side}{" odd" if index % 2 else ""}">{escape(label(tick))}</text>'
    return f'<svg class="scale" width="100%" height="16" aria-hidden="true">{texts}</svg>'
