"""Where in one grey copy another one lies: cross-correlation at several scales, straight and mirrored.

Source: Lewis, "Fast template matching", Vision Interface 1995. Of each correlation only the few places are computed
at which the part can lie, by products with the matrix of the Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity._looks import Grey, Pairs, measured_locally
from noria.inputs.image import SKETCH_SIDE

_ASPECT_STEP = 0.08  # aspects are taken as equal within it; a logarithm

_AT_ONCE = 256  # ways

Float = NDArray[np.float32]
Places = NDArray[np.int64]
Ways = NDArray[np.int64]  # (w, 3): the whole, the part, and 1 where that is mirrored
_Complex = NDArray[np.complex64]
_Found = tuple[Float, Places, Places]  # (w,) scores, and the windows' rows and columns


@dataclass(frozen=True, slots=True)
class Grid:
    """On how many pixels a window is searched."""

    field: int  # a side of the whole
    beyond: int  # that a part may reach out of it: two cuts of one photo overlap
    sizes: tuple[int, ...]  # of the part: it is half as long as the whole, or longer
    smallest: int

    @property
    def bed(self) -> int:
        return self.field + 2 * self.beyond


ROUGH = Grid(16, 2, (16, 14, 12, 10, 9), 5)
CLOSER = Grid(32, 6, (32, 30, 28, 26, 23, 20, 18, 16), 10)


@dataclass(eq=False, slots=True)
class Windows:
    """For each pair, where in the whole the part lies, in pixels of its grey copy: (p,) each."""

    score: Float
    middle_y: Float
    middle_x: Float
    height: Float
    width: Float
    mirrored: NDArray[np.bool_]

    def of(self, chosen: NDArray[np.generic]) -> Windows:
        fields = (self.score, self.middle_y, self.middle_x, self.height, self.width, self.mirrored)
        return Windows(*(field[chosen] for field in fields))


def ways_of(pairs: Pairs) -> Ways:
    """Return the four ways in which one of a pair can be a part of the other, pair by pair: (4 p, 3)."""
    first, second = pairs.T
    ways = [
        (one, other, np.full(len(pairs), turned))
        for one, other in ((first, second), (second, first))
        for turned in (0, 1)
    ]
    return np.stack([np.stack(way, axis=1) for way in ways], axis=1).reshape(-1, 3)


def search(grey: Grey, aspects: NDArray[np.float64], ways: Ways, grid: Grid, handicap: float) -> Windows:
    """Return the best window of each way on a coarse grid; what reaches out of the whole scores `handicap` less."""
    best = _nowhere(ways[:, 2] == 1)
    if not len(ways):
        return best
    wholes, whole_of = np.unique(ways[:, 0], return_inverse=True)
    field = _Field(measured_locally(resized(grey[wholes], grid.field, grid.field)), grid, handicap)
    steps = np.round(np.log(aspects[ways[:, 1]] / aspects[ways[:, 0]]) / _ASPECT_STEP).astype(np.int64)
    for step in np.unique(steps):
        members = np.flatnonzero(steps == step)
        seen, part_of = np.unique(ways[members, 1], return_inverse=True)
        parts = grey[seen].astype(np.float32)
        for shape in _shapes(float(np.exp(step * _ASPECT_STEP)), grid):
            spectra = _spectra(measured_locally(resized(parts, *shape)), grid.bed)
            lengths = field.lengths(*shape)
            for some in _blocks(len(members)):
                which = members[some]
                found = field.best(whole_of[which], spectra[ways[which, 2], part_of[some]], lengths, shape)
                _keep_best(best, which, found, shape, grid)
    return best


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]


def _nowhere(mirrored: NDArray[np.bool_]) -> Windows:
    unset = [np.zeros(len(mirrored), np.float32) for _ in range(4)]
    return Windows(np.full(len(mirrored), -1, np.float32), unset[0], unset[1], unset[2], unset[3], mirrored)


def _shapes(ratio: float, grid: Grid) -> list[tuple[int, int]]:
    """Return heights and widths in the field of a part whose aspect is `ratio` times that of the whole."""
    shapes = [(round(size / max(ratio, 1.0)), round(size * min(ratio, 1.0))) for size in grid.sizes]
    return [shape for shape in shapes if min(shape) >= grid.smallest]


class _Field:
    """Wholes (n, side, side), measured, in which parts are looked for."""

    def __init__(self, wholes: Float, grid: Grid, handicap: float) -> None:
        self._grid, self._handicap = grid, handicap
        field = np.pad(wholes, ((0, 0), (grid.beyond, grid.beyond), (grid.beyond, grid.beyond)))
        self._spectra = _transformed(field, grid.bed)
        self._energy = np.pad(field * field, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)

    def best(self, whole_of: Places, spectra: _Complex, lengths: Float, shape: tuple[int, int]) -> _Found:
        """Return the highest correlation of each part with a window of its whole."""
        grid, (rows, columns) = self._grid, lengths.shape[1:]
        outside = np.full((rows, columns), self._handicap, np.float32)
        if min(shape) < grid.field:  # else it is no part
            outside[grid.beyond : rows - grid.beyond, grid.beyond : columns - grid.beyond] = 0
        spectra *= self._spectra[whole_of]
        scores = _corner(spectra, grid.bed, rows, columns)
        scores /= lengths[whole_of]
        scores -= outside
        flat = scores.reshape(len(scores), -1)
        place = flat.argmax(axis=1)
        return flat[np.arange(len(flat)), place], place // columns, place % columns

    def lengths(self, height: int, width: int) -> Float:
        """Return (n, rows, columns): the length of each window of that shape, as a vector."""
        sums = self._energy
        within = sums[:, height:, width:] - sums[:, :-height, width:] - sums[:, height:, :-width]
        within += sums[:, :-height, :-width]
        return np.asarray(np.sqrt(np.maximum(within, 1e-3)), np.float32)


def _spectra(parts: Float, bed: int) -> _Complex:
    """Return (2, n, bed, bed // 2 + 1): what correlates with parts (n, h, w), and with their mirror images."""
    parts = parts - parts.mean(axis=(1, 2), keepdims=True)
    parts /= np.maximum(np.sqrt(np.einsum("phw,phw->p", parts, parts)), 1e-6)[:, None, None]
    spectra = _transformed(parts, bed)
    # That of the mirror image is the same with the rows' frequencies the other way round, but for a shift.
    shift = np.exp(2j * np.pi * np.arange(spectra.shape[2]) * (parts.shape[2] - 1) / bed).astype(np.complex64)
    return np.stack([np.conj(spectra), spectra[:, -np.arange(bed)] * shift])


def _transformed(fields: Float, bed: int) -> _Complex:
    """Return (n, bed, bed // 2 + 1): the Fourier transform of fields (n, h, w), with zeros after them up to `bed`."""
    count, height, width = fields.shape
    down, right, _ = _fourier(bed)
    across = fields.reshape(-1, width) @ right[:width]
    return np.asarray(down[:, :height] @ across.view(np.complex64).reshape(count, height, -1), np.complex64)


def _corner(spectra: _Complex, bed: int, rows: int, columns: int) -> Float:
    """Return the first rows and columns of what has these transforms: (n, rows, columns)."""
    down, _, back = _fourier(bed)
    halfway = np.conj(down[:rows]) @ spectra
    return np.asarray(halfway.view(np.float32) @ back[:, :columns], np.float32)


@cache
def _fourier(bed: int) -> tuple[_Complex, Float, Float]:
    """Return three matrices.

    (bed, bed): the transform of columns; (bed, 2 half): that of rows of real numbers, real and imaginary parts in turn;
    (2 half, bed): the way back from there, of both.
    """
    turns = np.outer(np.arange(bed), np.arange(bed)) * (-2j * np.pi / bed)
    whole = np.exp(turns)
    half = whole[:, : bed // 2 + 1]
    twice = np.where((np.arange(half.shape[1]) % (bed / 2)) == 0, 1, 2) / bed**2
    right = np.stack([half.real, half.imag], axis=2).reshape(bed, -1)
    back = np.stack([half.real, half.imag], axis=2) * twice[None, :, None]
    return whole.astype(np.complex64), right.astype(np.float32), back.reshape(bed, -1).T.astype(np.float32).copy()


def _keep_best(best: Windows, members: Places, found: _Found, shape: tuple[int, int], grid: Grid) -> None:
    score, row, column = found
    better = score > best.score[members]
    chosen, scale, (height, width) = members[better], SKETCH_SIDE / grid.field, shape
    best.score[chosen] = score[better]
    best.middle_y[chosen] = (row[better] - grid.beyond + height / 2) * scale
    best.middle_x[chosen] = (column[better] - grid.beyond + width / 2) * scale
    best.height[chosen], best.width[chosen] = height * scale, width * scale


def resized(grey: NDArray[np.generic], height: int, width: int) -> Float:
    """Return (n, height, width): each pixel the mean of the area that it covers."""
    rows, columns = _averaging(height, grey.shape[1]), _averaging(width, grey.shape[2])
    return np.asarray(rows @ (grey.astype(np.float32) @ columns.T), np.float32)


@cache
def _averaging(count: int, size: int) -> Float:
    """Return (count, size): which share of each of `size` pixels each of `count` pixels has."""
    ends = np.linspace(0, size, count + 1)
    pixels = np.arange(size)
    shares = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    shares = np.clip(shares, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)
