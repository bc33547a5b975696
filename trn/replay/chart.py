"""A chart as SVG: axes, curves, bands, dots and marks, light and dark, for page and README alike.

Series are thinned to what can be seen, so that a chart of a long descent stays small.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH_PX = 900
LEFT_PX, RIGHT_PX = 66, 18
LETTER_PX = 6.7
"""Mean width of a letter of the labels; browsers differ, so places leave room."""

_STYLE = """
.chart{--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#d1d9e0;--truth:#8c959f;--ours:#0969da;
--baseline:#b35900;--taken:#1a7f37;--away:#cf222e;--green:#3fb950;--red:#e5484d;--orange:#f5a524;
--violet:#9a5cf5;--grey:#8b949e}
@media(prefers-color-scheme:dark){.chart{--paper:#0d1117;--ink:#e6edf3;--soft:#9198a1;
--grid:#2d343d;--truth:#7d8590;--ours:#58a6ff;--baseline:#f0a04b;--taken:#56d364;--away:#ff7b72;
--green:#2ea043;--red:#f85149;--orange:#d29922;--violet:#a371f7;--grey:#6e7681}}
.chart text{font:12.5px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:var(--ink)}
.chart .title{font-size:16px;font-weight:600}.chart .soft{fill:var(--soft)}
.chart .strong{font-weight:600}.chart .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;
stroke-linejoin:round}
"""  # noqa: E501

Shape = Literal["dot", "cross", "ring"]


@dataclass(frozen=True)
class Scale:
    """Values from low to high onto pixels from start to end, in proportion or by logarithm."""

    low: float
    high: float
    start_px: float
    end_px: float
    log: bool = False

    def __call__(self, values: Array | float) -> Array:
        """Pixels of values, in their shape; NaN where a logarithm has none."""
        low, high, at = self.low, self.high, np.asarray(values, dtype=np.float64)
        if self.log:
            at = np.log(np.where(at > 0.0, at, np.nan))
            low, high = math.log(low), math.log(high)
        return np.asarray(self.start_px + (at - low) / (high - low) * (self.end_px - self.start_px))

    def ticks(self, most: int) -> list[float]:
        """Round values inside the scale, about as many as asked for."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**k for k in range(first, last + 1)]
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = power * next(k for k in (1.0, 2.0, 5.0, 10.0) if k * power >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Chart:
    """One chart in the making; later calls draw above earlier ones.

    name: tells charts of one page apart. height_px: of all. top_px, bottom_px: room kept above and
    below the axes' frame. Curves are cut at the frame.
    """

    def __init__(
        self,
        name: str,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
        height_px: int = 420,
        top_px: int = 64,
        bottom_px: int = 46,
        log_y: bool = False,
    ) -> None:
        self.name, self.title, self.height_px = name, title, height_px
        self.left, self.right = float(LEFT_PX), float(WIDTH_PX - RIGHT_PX)
        self.top, self.bottom = float(top_px), float(height_px - bottom_px)
        self.x = Scale(*x, self.left, self.right)
        self.y = Scale(*y, self.bottom, self.top, log_y)
        self._parts: list[str] = []
        self._axes(labels)

    def curve(
        self, time_s: Array, values: Array, colour: str, width: float, dashes: str = "",
        opacity: float = 1.0,
    ) -> None:  # fmt: skip
        """A line through values, broken where they are not finite."""
        x, y = thinned(*self._within(time_s, values))
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._inside(
            f'<path d="{_path(x, y)}" fill="none" stroke="var(--{colour})" stroke-width="{width}"'
            f'{dash} stroke-linejoin="round" opacity="{opacity}"/>'
        )

    def band(self, time_s: Array, low: Array, high: Array, colour: str) -> None:
        """The area between two curves."""
        finite = np.isfinite(low) & np.isfinite(high)
        for piece in _pieces(finite):
            xl, yl = thinned(*self._within(time_s[piece], low[piece]))
            xh, yh = thinned(*self._within(time_s[piece], high[piece]))
            if xl.size > 1 and xh.size > 1:
                edge = np.concatenate([xl, xh[::-1]]), np.concatenate([yl, yh[::-1]])
                self._inside(
                    f'<path d="{_path(*edge)}Z" fill="var(--{colour})" fill-opacity=".2"/>'
                )

    def marks(
        self, time_s: Array, values: Array, colour: str, shape: Shape = "dot", size: float = 1.7
    ) -> None:
        """A mark for each value; those that would cover each other are drawn once."""
        x, y = self._within(time_s, values)
        seen = np.isfinite(y) & (y >= self.top - 2) & (y <= self.bottom + 2)
        cells = np.unique(np.round(np.stack([x[seen], y[seen]], axis=1) / 1.5), axis=0) * 1.5
        if not cells.size:
            return
        s = size
        one = {
            "dot": f"m{-s:g} 0a{s:g} {s:g} 0 1 0 {2 * s:g} 0a{s:g} {s:g} 0 1 0 {-2 * s:g} 0",
            "ring": f"m{-s:g} 0a{s:g} {s:g} 0 1 0 {2 * s:g} 0a{s:g} {s:g} 0 1 0 {-2 * s:g} 0",
            "cross": f"m{-s:g} {-s:g}l{2 * s:g} {2 * s:g}m0 {-2 * s:g}l{-2 * s:g} {2 * s:g}",
        }[shape]
        paint = (
            f'fill="var(--{colour})"'
            if shape == "dot"
            else f'fill="none" stroke="var(--{colour})" stroke-width="1.3"'
        )
        path = "".join(f"M{px:g} {py:g}{one}" for px, py in cells)
        self._inside(f'<path d="{path}" {paint}/>')

    def ribbon(
        self, time_s: Array, severity: NDArray[np.int64], colours: Sequence[str],
        top_px: float, height_px: float,
    ) -> None:  # fmt: skip
        """A strip whose colour tells the gravest of what fell on each pixel.

        severity: (N,), an index into colours. Pixels without any keep the last one's colour for as
        long as samples may be apart, and none beyond.
        """
        columns = int(self.right - self.left)
        held = np.full(columns, -1)
        place = np.floor(self.x(time_s) - self.left).astype(np.int64)
        seen = (place >= 0) & (place < columns)
        np.maximum.at(held, place[seen], severity[seen])
        apart = np.diff(np.flatnonzero(held >= 0))
        reach = 2 if apart.size == 0 else 3 * int(np.median(apart)) + 2
        told = np.maximum.accumulate(np.where(held >= 0, np.arange(columns), -1))
        near = (told >= 0) & (np.arange(columns) - told <= reach)
        filled = np.where(near, held[np.maximum(told, 0)], -1)
        edges = np.flatnonzero(np.diff(filled)) + 1
        self._parts.append(
            f'<rect x="{self.left:g}" y="{top_px:g}" width="{columns}" height="{height_px:g}" '
            'fill="var(--grid)" fill-opacity=".5"/>'
        )
        for start, end in zip([0, *edges], [*edges, columns]):
            if filled[start] >= 0:
                self._parts.append(
                    f'<rect x="{self.left + start:g}" y="{top_px:g}" width="{end - start}" '
                    f'height="{height_px:g}" fill="var(--{colours[filled[start]]})"/>'
                )

    def moment(self, time_s: float, text: str, colour: str, from_top_px: float = 14.0) -> None:
        """A vertical line at a time with its text beside it, on the side that has room."""
        if not self.x.low <= time_s <= self.x.high:
            return
        at = float(self.x(time_s))
        self._parts.append(
            f'<path d="M{at:.1f} {self.top:g}V{self.bottom:g}" stroke="var(--{colour})" '
            'stroke-width="1.4" stroke-dasharray="5 4"/>'
        )
        self.note(at, self.top + from_top_px, text, colour, gap_px=7.0)

    def point(self, time_s: float, value: float, text: str, colour: str, drop_px: float) -> None:
        """A ring about a value with its text beside it, so far below (negative: above)."""
        if self.x.low <= time_s <= self.x.high and self.y.low <= value <= self.y.high:
            x, y = float(self.x(time_s)), float(self.y(value))
            self._parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="var(--paper)" '
                f'stroke="var(--{colour})" stroke-width="2"/>'
            )
            self.note(x, y + drop_px, text, colour, gap_px=10.0)

    def flags(self, time_s: Sequence[float], colour: str, texts: Sequence[str]) -> None:
        """Numbered flags above the frame; where they crowd, the number is left to the table."""
        last = -math.inf
        for k, (time, text) in enumerate(zip(time_s, texts, strict=True), start=1):
            if not self.x.low <= time <= self.x.high:
                continue
            at = float(self.x(time))
            label = ""
            if at - last >= 16.0:
                label = (
                    f'<text x="{at:.1f}" y="{self.top - 11:g}" text-anchor="middle" '
                    f'class="strong" style="fill:var(--{colour})">{k}</text>'
                )
                last = at
            self._parts.append(
                f"<g><title>{html.escape(text)}</title>"
                f'<path d="M{at:.1f} {self.top:g}l-4.5 -8h9z" fill="var(--{colour})"/>{label}</g>'
            )

    def note(self, x: float, y: float, text: str, colour: str, gap_px: float) -> None:
        """Lines of text beside a place, on its right or, without room there, on its left.

        y: of the last line's foot.
        """
        lines = text.split("\n")
        right = x + gap_px + LETTER_PX * max(map(len, lines)) < self.right
        anchor, at = ("start", x + gap_px) if right else ("end", x - gap_px)
        for k, line in enumerate(reversed(lines)):
            self._parts.append(
                f'<text x="{at:.1f}" y="{y - 16 * k:.1f}" text-anchor="{anchor}" '
                f'class="halo strong" style="fill:var(--{colour})">{html.escape(line)}</text>'
            )

    def gap(self, time_s: float, low: float, high: float, colour: str) -> None:
        """A dotted line from one value to another."""
        x, foot, head = float(self.x(time_s)), float(self.y(low)), float(self.y(high))
        self._inside(
            f'<path d="M{x:.1f} {foot:.1f}V{head:.1f}" stroke="var(--{colour})" '
            'stroke-width="1.4" stroke-dasharray="1.5 4" stroke-linecap="round"/>'
        )

    def label(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """Plain text at a place."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f"{html.escape(text)}</text>"
        )

    def legend(self, entries: Sequence[tuple[str, str, str]], y_px: float) -> None:
        """A row of what is drawn how: (text, colour, "line" | "dashes" | "band" or a mark)."""
        x = self.left
        for text, colour, kind in entries:
            self._parts.append(_sample(x, y_px, colour, kind))
            self.label(x + 28, y_px + 4, text)
            x += 28 + LETTER_PX * len(text) + 16

    def svg(self) -> str:
        """The chart, a whole SVG document that may also stand inside HTML."""
        size = f'viewBox="0 0 {WIDTH_PX} {self.height_px}"'
        clip = (
            f'<clipPath id="{self.name}"><rect x="{self.left:g}" y="{self.top:g}" '
            f'width="{self.right - self.left:g}" height="{self.bottom - self.top:g}"/></clipPath>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="chart" role="img" '
            f'aria-label="{html.escape(self.title)}"><style>{_STYLE}</style>'
            f'<defs>{clip}</defs><rect width="{WIDTH_PX}" height="{self.height_px}" rx="8" '
            f'fill="var(--paper)"/>{"".join(self._parts)}</svg>'
        )

    def _axes(self, labels: tuple[str, str]) -> None:
        self.label(self.left, 25, self.title, kind="title")
        for value in self.y.ticks(6):
            y = float(self.y(value))
            self._parts.append(
                f'<path d="M{self.left:g} {y:.1f}H{self.right:g}" stroke="var(--grid)"/>'
            )
            self.label(self.left - 8, y + 4, f"{value:,.10g}", "end", "soft")
        for value in self.x.ticks(10):
            x = float(self.x(value))
            self._parts.append(f'<path d="M{x:.1f} {self.bottom:g}v5" stroke="var(--soft)"/>')
            self.label(x, self.bottom + 19, f"{value:,.10g}", "middle", "soft")
        self._parts.append(
            f'<path d="M{self.left:g} {self.bottom:g}H{self.right:g}" stroke="var(--soft)"/>'
        )
        self.label(0.5 * (self.left + self.right), self.bottom + 37, labels[0], "middle", "soft")
        middle = 0.5 * (self.top + self.bottom)
        self._parts.append(
            f'<text transform="translate(17 {middle:g}) rotate(-90)" text-anchor="middle" '
            f'class="soft">{html.escape(labels[1])}</text>'
        )

    def _within(self, time_s: Array, values: Array) -> tuple[Array, Array]:
        """Pixels of what falls into the frame's width, with one neighbour on each side."""
        if not len(time_s):
            return np.zeros(0), np.zeros(0)
        first = max(int(np.searchsorted(time_s, self.x.low)) - 1, 0)
        last = int(np.searchsorted(time_s, self.x.high, side="right")) + 1
        # Far outside the frame any place will do; huge numbers would only lengthen the file.
        far = 4.0 * self.height_px
        return self.x(time_s[first:last]), np.clip(self.y(values[first:last]), -far, far)

    def _inside(self, part: str) -> None:
        self._parts.append(f'<g clip-path="url(#{self.name})">{part}</g>')


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """The first, lowest, highest and last point of each pixel column, in order; gaps are kept.

    x, y: (N,), pixels, x ascending. Fewer than two points a column stay as they are.
    """
    if x.size < 3:
        return x, y
    column = np.floor(x).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    ends = np.append(starts[1:], x.size)
    kept: list[int] = []
    for start, end in zip(starts, ends):
        some = y[start:end]
        chosen = {int(start), int(end) - 1}
        finite = np.isfinite(some)
        if finite.any() and end - start > 2:
            chosen |= {int(start + np.nanargmin(some)), int(start + np.nanargmax(some))}
        if not finite.all():
            chosen.add(int(start + np.argmin(finite)))
        kept.extend(sorted(chosen))
    return x[kept], y[kept]


def _pieces(finite: NDArray[np.bool_]) -> list[slice]:
    """Runs of True."""
    edges = np.flatnonzero(np.diff(finite.astype(np.int8), prepend=0, append=0))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def _path(x: Array, y: Array) -> str:
    parts, pen = [], "M"
    for px, py in zip(x.tolist(), y.tolist()):
        if math.isfinite(py):
            parts.append(f"{pen}{px:.1f} {py:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _sample(x: float, y: float, colour: str, kind: str) -> str:
    paint = f"var(--{colour})"
    middle = x + 11
    if kind == "band":
        return (
            f'<rect x="{x:g}" y="{y - 6:g}" width="22" height="12" fill="{paint}" '
            'fill-opacity=".25"/>'
        )
    if kind == "box":
        return f'<rect x="{x + 5:g}" y="{y - 6:g}" width="12" height="12" rx="2" fill="{paint}"/>'
    if kind == "dot":
        return f'<circle cx="{middle:g}" cy="{y:g}" r="3" fill="{paint}"/>'
    if kind == "ring":
        return f'<circle cx="{middle:g}" cy="{y:g}" r="3" fill="none" stroke="{paint}"/>'
    if kind == "cross":
        return (
            f'<path d="M{middle - 3:g} {y - 3:g}l6 6m0 -6l-6 6" stroke="{paint}" '
            'stroke-width="1.5"/>'
        )
    if kind == "flag":
        return f'<path d="M{middle:g} {y + 4:g}l-4.5 -8h9z" fill="{paint}"/>'
    dash = ' stroke-dasharray="6 4"' if kind == "dashes" else ""
    width = 4 if kind == "thick" else 2
    return f'<path d="M{x:g} {y:g}h22" stroke="{paint}" stroke-width="{width}"{dash}/>'
