"""Charts as SVG markup: plain numbers go in, `Markup` that is safe to place in a page comes out.

Colours, fonts and line styles are classes of the page's style sheet (templates/report.css), so a chart follows light,
dark and print by itself. Charts are 360 units wide: drawn at that many pixels, their text is about the page's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

from markupsafe import Markup, escape

from noria.evaluation.wording import percent, readable, short_percent

Point = tuple[float, float]
Range = tuple[float, float]
Row = dict[str, Any]

WIDTH, HEIGHT = 360.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 20.0, 28.0, 40.0
_COARSE_CELLS = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: `style` "a" (blue, solid) or "b" (orange, dashed); two curves differ by more than their colour."""

    name: str
    points: Sequence[Point]
    style: str = "a"


def accuracy_scale(accuracy: float, interval: Range, baseline: float) -> Markup:
    """The accuracy with its interval on a scale from 0 to 100 %, and where the baseline stands."""
    plot = _Plot((0, 1), (0, 1), left=8, top=6, bottom=6, height=74)
    x, low, high, base = plot.x(accuracy), plot.x(interval[0]), plot.x(interval[1]), plot.x(baseline)
    anchor = "start" if baseline < 0.3 else "end" if baseline > 0.7 else "middle"
    body = [
        f'<line class="rule" x1="{plot.x(0):.1f}" x2="{plot.x(1):.1f}" y1="36" y2="36"/>',
        *(f'<line class="rule" x1="{plot.x(t):.1f}" x2="{plot.x(t):.1f}" y1="32" y2="40"/>' for t in (0, 0.5, 1)),
        f'<line class="line muted-line" x1="{base:.1f}" x2="{base:.1f}" y1="28" y2="46"/>',
        _text(base, 60, f"{percent(baseline)}: always the most common class", anchor),
        f'<rect class="fill-a soft" x="{low:.1f}" y="28" width="{max(high - low, 1):.1f}" height="16" rx="3"/>',
        f'<circle class="fill-a" cx="{x:.1f}" cy="36" r="5.5"/>',
        _text(min(max(x, 40), WIDTH - 40), 18, percent(accuracy), "middle", "t strong"),
    ]
    label = f"Accuracy {percent(accuracy)}, interval {percent(interval[0])} to {percent(interval[1])}"
    return _svg(body, f"{label}; baseline {percent(baseline)}", WIDTH, 74)


def line_chart(lines: Sequence[Line], *, title: str, x_label: str, shares: bool, mark: float | None = None) -> Markup:
    """Curves over epochs or the like; `shares` writes the y axis in percent, `mark` draws a dotted upright line."""
    every = [point for line in lines for point in line.points]
    x_range = _padded([x for x, _ in every])
    y_range = _padded([y for _, y in every], room=0.06)
    if shares:
        y_range = max(0.0, y_range[0]), min(1.0, y_range[1])
    plot = _Plot(x_range, y_range)
    body = [*plot.axes(x_label, short_percent if shares else _short, _short), *_legend(lines)]
    if mark is not None:
        x = plot.x(mark)
        body.append(f'<line class="line mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{plot.y(y_range[0]):.1f}"/>')
    for line in lines:
        body.append(f'<polyline class="line line-{line.style}" points="{plot.path(line.points)}"/>')
        if len(line.points) <= 30:
            body += [_dot(plot, point, line.style, 2.2) for point in line.points]
    return _svg(body, title)


def rate_chart(rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], mark: float) -> Markup:
    """The loss at rising learning rates, one step at each; the upright line is the rate to take."""
    places = [log10(rate) for rate in rates]
    low, high = min(smoothed), max(smoothed)
    y_range = _padded([low, high], room=0.15)
    seen = [min(max(loss, y_range[0]), y_range[1]) for loss in losses]  # a leap would press all else flat
    plot = _Plot(_padded(places), y_range, height=300)
    lines = [
        Line("each step", list(zip(places, seen, strict=True)), "b"),
        Line("smoothed", list(zip(places, smoothed, strict=True)), "a"),
    ]
    body = [*plot.axes("learning rate", _short, _power), *_legend(lines)]
    x = plot.x(log10(mark))
    body.append(f'<line class="line mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{plot.y(y_range[0]):.1f}"/>')
    body.append(_text(x - 5, _TOP + 10, f"{mark:g}", "end", "t strong"))
    for line in lines:
        thin = " thin" if line.style == "b" else ""
        body.append(f'<polyline class="line line-{line.style}{thin}" points="{plot.path(line.points)}"/>')
    return _svg(body, "Loss at rising learning rates", height=300)


def reliability_chart(after: Row, before: Row | None) -> Markup:
    """Accuracy against confidence, with 95 % intervals; on the diagonal, confidence can be taken at its word."""
    plot = _Plot((0, 1), (0, 1), height=300)
    names = [Line("calibrated", (), "a"), Line("as trained", (), "b")] if before else [Line("the model", (), "a")]
    body = plot.axes("confidence", short_percent, short_percent)
    body.append(f'<line class="line mark" x1="{plot.x(0)}" y1="{plot.y(0)}" x2="{plot.x(1)}" y2="{plot.y(1)}"/>')
    body += _legend(names)
    for facts, style in ((before, "b"), (after, "a")):
        rows = [row for row in (facts or {"bins": []})["bins"] if row["count"]]
        points = [(row["confidence"], row["accuracy"]) for row in rows]
        most = max((row["count"] for row in rows), default=1)
        if style == "a":
            body += [_whisker(plot, row) for row in rows]
        body.append(f'<polyline class="line line-{style} thin" points="{plot.path(points)}"/>')
        body += [
            _dot(
                plot,
                point,
                style,
                2 + 4 * sqrt(row["count"] / most),
                f"{row['count']} answers: confidence {percent(point[0])}, right {percent(point[1])}",
            )
            for row, point in zip(rows, points, strict=True)
        ]
    return _svg(body, "Reliability diagram: share of right answers against confidence", height=300)


def confidence_chart(histogram: Row) -> Markup:
    """Right and wrong answers stacked by confidence."""
    edges, right, wrong = histogram["edges"], histogram["right"], histogram["wrong"]
    top = max(1, max(a + b for a, b in zip(right, wrong, strict=True)))
    plot = _Plot((0, 1), (0, top * 1.04), height=300)
    body = [
        *plot.axes("confidence", _short, short_percent),
        *_legend([Line("right", (), "a"), Line("wrong", (), "b")], True),
    ]
    for low, high, good, bad in zip(edges[:-1], edges[1:], right, wrong, strict=True):
        x, width = plot.x(low) + 0.8, plot.x(high) - plot.x(low) - 1.6
        said = f"confidence {percent(low)} to {percent(high)}: {good} right, {bad} wrong"
        body.append(_column(plot, x, width, (0, bad), "b", said))
        body.append(_column(plot, x, width, (bad, bad + good), "a", said))
    return _svg(body, "How many right and wrong answers there are at each confidence", height=300)


def coverage_chart(curve: Sequence[Row], accuracy: float) -> Markup:
    """Accuracy of the answers that are given, against the share of examples that get one."""
    rows = [row for row in curve if row["accuracy"] is not None]
    points = [(row["coverage"], row["accuracy"]) for row in rows]
    low = min([accuracy, *(y for _, y in points)])
    plot = _Plot((0, 1), (max(0.0, floor(low * 20 - 0.2) / 20), 1.0), height=300)
    body = plot.axes("share of examples that get an answer", short_percent, short_percent)
    band = [(row["coverage"], row["interval"][1]) for row in rows]
    band += [(row["coverage"], max(row["interval"][0], plot.y_range[0])) for row in reversed(rows)]
    body.append(f'<polygon class="fill-a soft" points="{plot.path(band)}"/>')
    body.append(f'<polyline class="line line-a" points="{plot.path(points)}"/>')
    for row, point in zip(rows, points, strict=True):
        said = f"from confidence {percent(row['threshold'])}: answers {percent(point[0])}, right {percent(point[1])}"
        body.append(_dot(plot, point, "a", 2.4, said))
    return _svg(body, "Accuracy of the given answers against the share that is answered", height=300)


def spread_chart(values: Sequence[float], *, title: str, x_label: str, bins: int = 20) -> Markup:
    """How many of the values (shares) lie in each of `bins` bins from 0 to 100 %."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int(value * bins))] += 1
    plot = _Plot((0, 1), (0, max(1, *counts) * 1.04))
    body = plot.axes(x_label, _short, short_percent)
    for index, count in enumerate(counts):
        x, width = plot.x(index / bins) + 0.8, (plot.x(1) - plot.x(0)) / bins - 1.6
        said = f"{percent(index / bins)} to {percent((index + 1) / bins)}: {count}"
        body.append(_column(plot, x, width, (0, count), "a", said))
    return _svg(body, title)


def coarse_heatmap(cells: Sequence[Sequence[int]], labels: Sequence[str]) -> Markup:
    """The confusion matrix of many classes as at most 60 x 60 squares, each for a block of neighbouring classes.

    Args:
        cells: (truth, answer, count), by the numbers of the labels.
    """
    size = min(_COARSE_CELLS, len(labels))
    pooled = [[0] * size for _ in range(size)]
    for truth, answer, count in cells:
        pooled[truth * size // len(labels)][answer * size // len(labels)] += count
    step = WIDTH / size
    body = [f'<rect class="field" width="{WIDTH}" height="{WIDTH}"/>']
    for truth, row in enumerate(pooled):
        total = sum(row)
        for answer, count in enumerate(row):
            if count:
                body.append(_square(truth, answer, count, count / total, step, labels, size))
    return _svg(body, "Confusion matrix: rows are the truth, columns the answers", WIDTH, WIDTH)


def bar(share: float | None, style: str = "a", interval: Sequence[float] | None = None) -> Markup:
    """A bar for a table cell; its number stands beside it in the text, so it is hidden from screen readers."""
    width = 100 * min(max(share or 0.0, 0.0), 1.0)
    body = '<rect class="field" width="100" height="8"/>'
    body += f'<rect class="fill-{escape(style)}" width="{width:.2f}" height="8"/>'
    if interval:
        low, high = (100 * end for end in interval)
        body += f'<rect class="ink" x="{low:.2f}" y="3.4" width="{max(high - low, 0.5):.2f}" height="1.2"/>'
    return Markup(f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{body}</svg>')


def stacked_bar(parts: Sequence[tuple[str, int]]) -> Markup:
    """Parts of a whole side by side; the style sheet colours part-0, part-1 ..."""
    total = sum(count for _, count in parts) or 1
    body, x = [], 0.0
    for index, (name, count) in enumerate(parts):
        width = 100 * count / total
        body.append(
            f'<rect class="part-{index}" x="{x:.3f}" width="{width:.3f}" height="8">'
            f"<title>{escape(name)}: {count}</title></rect>"
        )
        x += width
    label = ", ".join(f"{name} {count}" for name, count in parts)
    return Markup(
        f'<svg class="bar tall" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Plot:
    """The field that data is drawn in: from values to units of the drawing, and the axes around it."""

    x_range: Range
    y_range: Range
    left: float = _LEFT
    top: float = _TOP
    bottom: float = _BOTTOM
    height: float = HEIGHT

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (WIDTH - self.left - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def axes(self, x_label: str, y_format: Callable[[float], str], x_format: Callable[[float], str]) -> list[str]:
        end, foot = WIDTH - _RIGHT, self.height - self.bottom
        marks = []
        for tick in _ticks(self.y_range):
            y = self.y(tick)
            marks.append(f'<line class="grid" x1="{self.left}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}"/>')
            marks.append(_text(self.left - 6, y + 3.5, y_format(tick), "end"))
        marks += [_text(self.x(tick), foot + 15, x_format(tick), "middle") for tick in _ticks(self.x_range)]
        marks.append(f'<line class="rule" x1="{self.left}" x2="{end}" y1="{foot}" y2="{foot}"/>')
        marks.append(_text((self.left + end) / 2, self.height - 6, x_label, "middle"))
        return marks


def _svg(body: Sequence[str], label: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str, style: str = "t") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _dot(plot: _Plot, point: Point, style: str, radius: float, said: str = "") -> str:
    tip = f"<title>{escape(said)}</title>" if said else ""
    x, y = plot.x(point[0]), plot.y(point[1])
    return f'<circle class="dot-{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{tip}</circle>'


def _whisker(plot: _Plot, row: Row) -> str:
    x, (low, high) = plot.x(row["confidence"]), row["interval"]
    return f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{plot.y(low):.1f}" y2="{plot.y(high):.1f}"/>'


def _column(plot: _Plot, x: float, width: float, span: Range, style: str, said: str) -> str:
    top, foot = plot.y(span[1]), plot.y(span[0])
    if span[0] == span[1]:
        return ""
    return (
        f'<rect class="fill-{style}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{foot - top:.1f}">'
        f"<title>{escape(said)}</title></rect>"
    )


def _square(truth: int, answer: int, count: int, share: float, step: float, labels: Sequence[str], size: int) -> str:
    style = "a" if truth == answer else "b"
    strength = share if truth == answer else min(1.0, 0.45 + share)  # a rare mistake must be seen, too
    said = f"{_block(labels, truth, size)} → {_block(labels, answer, size)}: {count} ({percent(share)})"
    # A tip for each right answer would double the size of the file and tell nothing.
    tip = f"<title>{escape(said)}</title>" if truth != answer else ""
    return (
        f'<rect class="fill-{style}" x="{answer * step:.2f}" y="{truth * step:.2f}" width="{step:.2f}" '
        f'height="{step:.2f}" fill-opacity="{strength:.2f}">{tip}</rect>'
    )


def _block(labels: Sequence[str], index: int, size: int) -> str:
    begin, end = (-(-at * len(labels) // size) for at in (index, index + 1))  # those whose i * size // len is index
    first, last = (readable(labels[i])[:40] for i in (begin, end - 1))
    return first if end - begin == 1 else f"{first} … {last}"


def _legend(lines: Sequence[Line], blocks: bool = False) -> list[str]:
    marks, x = [], _LEFT
    for line in lines:
        if blocks:
            marks.append(f'<rect class="fill-{line.style}" x="{x:.1f}" y="7" width="12" height="10"/>')
        else:
            marks.append(f'<line class="line line-{line.style}" x1="{x:.1f}" x2="{x + 20:.1f}" y1="12" y2="12"/>')
        marks.append(_text(x + 26 - 8 * blocks, 16, line.name, "start"))
        x += 46 + 7 * len(line.name)
    return marks


def _ticks(span: Range, about: int = 5) -> list[float]:
    """Round values inside of `span`: steps of 1, 2 or 5 times a power of ten."""
    width = span[1] - span[0]
    rough = width / about
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = ceil(span[0] / step - 1e-9)
    return [round(i * step, 12) for i in range(first, floor(span[1] / step + 1e-9) + 1)]


def _padded(values: Sequence[float], room: float = 0.0) -> Range:
    """The range of the values and a little more; never of width 0, which nothing could be drawn in."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        return low - 0.5, high + 0.5
    return low - room * (high - low), high + room * (high - low)


def _power(exponent: float) -> str:
    return f"{10**exponent:.0e}".replace("e-0", "e-").replace("e+0", "e") if exponent == round(exponent) else ""


def _short(value: float) -> str:
    """At most seven characters, which is what there is room for beside an axis."""
    size = abs(value)
    if size >= 1e5 or 0 < size < 1e-3:
        digits, exponent = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:,.0f}".replace(",", "\u202f") if size >= 1000 else f"{value:.4g}"
