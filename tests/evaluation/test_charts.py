"""Charts: what stands beside an axis has room there, whatever the numbers are."""

from __future__ import annotations

import re

import pytest

from noria.evaluation.charts import Line, line_chart

WIDE = 6.2  # units of the widest digit; labels end 6 units before the axis, which is 46 from the edge


@pytest.mark.parametrize("size", [1e-9, 3e-4, 0.7, 12.5, 1_234.0, 98_765.0, 250_000.0, 3.3e7, 1e30])
@pytest.mark.parametrize("low", [0.0, 0.9])
def test_numbers_beside_the_axis_are_not_cut(size: float, low: float) -> None:
    points = [(1.0, low * size), (2.0, size), (3.0, 0.95 * size)]
    drawn = line_chart([Line("loss", points)], title="loss", x_label="epoch", shares=False)
    beside = re.findall(r'text-anchor="end">([^<]*)<', drawn)
    assert len(beside) >= 2
    assert len(set(beside)) == len(beside)
    assert max(map(len, beside)) * WIDE <= 46 - 2
    told = [float(words.replace("\u202f", "")) for words in beside]
    assert told == sorted(told)
    assert min(told) >= 0.8 * low * size
    assert max(told) <= 1.1 * size
