"""How alike pictures of a dataset are, as they are -> which of them say what its pictures have in common.

Of many copies of one picture (a still scene before a camera, a burst, one photo in many versions) a few stay. All
others would make alike by nature what is alike only because it is the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.data.duplicates import join_pairs

_TOGETHER, _APART = 0.6, 0.3  # cosines: in a set of copies each is so near to another, and to nothing else by half that
_SAME = 0.9  # of copies nearer than that one stays; different pictures of one kind are rarely so near
_OTHERS = 0.2  # share of the pictures that must be like no other: where few are, to be alike is the dataset's nature


def distinct(likeness: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the indices of the pictures that stay, in their order.

    Pictures of one kind, such as solar cells or digits, are alike in all degrees; copies are far nearer to each other
    than to any other picture. So a set is thinned only where nothing lies between it and the rest.

    Args:
        likeness: (n, n), symmetric; from -1 to 1.
    """
    count = len(likeness)
    pairs = np.argwhere(np.triu(likeness >= _TOGETHER, 1))
    groups = np.array(join_pairs(pairs.tolist(), count), np.int64)
    grouped = np.bincount(groups, minlength=count)[groups] > 1
    if not grouped.any() or np.count_nonzero(~grouped) < _OTHERS * count:
        return np.arange(count)
    beside = np.zeros(count, np.bool_)  # groups with something between them and the rest
    beside[groups[np.any((likeness >= _APART) & (groups[:, None] != groups), axis=1)]] = True
    stays = np.ones(count, np.bool_)
    for place in np.flatnonzero(grouped & ~beside[groups]):
        if stays[place]:
            stays[place + 1 :] &= likeness[place, place + 1 :] < _SAME
    return np.flatnonzero(stays)
