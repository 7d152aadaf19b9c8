"""How sure a proportion is: k of n successes -> the 95 % interval of the true share."""

from __future__ import annotations

from math import sqrt

Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Return the score interval (low, high) of a proportion, both in 0..1; (0, 1) where nothing was tried.

    Unlike the textbook interval (share plus or minus two standard errors) it stays inside 0..1 and holds its level
    with few trials and near 0 and 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
    recommended by Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statist. Sci. 16 (2001).
    """
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At 0 and n successes the bound is exact; rounding must not leave it an ulp outside.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
