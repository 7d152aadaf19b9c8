"""What losses at rising learning rates say about the rate to take."""

from __future__ import annotations

import numpy as np
import pytest

from noria.errors import ConfigError
from noria.training.rates import FEWEST, HIGHEST, LOWEST, STEPS, judged

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


def valley(lowest: float) -> list[float]:
    """Losses that fall to a rate, and rise from there."""
    apart = np.log10(RATES / lowest)
    return (2 - 1.5 * np.exp(-(apart**2)) + np.random.default_rng(0).normal(0, 0.05, STEPS)).tolist()


@pytest.mark.parametrize("lowest", [1e-4, 1e-2, 0.5])
def test_the_rate_is_a_third_of_that_of_the_lowest_loss(lowest: float) -> None:
    told = judged(RATES, valley(lowest))
    assert lowest / 2 < told.lowest < lowest * 2
    assert told.suggested == float(f"{told.lowest / 3:.1g}")
    assert told.leapt is None


def test_where_the_loss_leapt_away_is_told() -> None:
    told = judged(RATES, valley(1e-2)[:70])
    assert told.leapt == pytest.approx(RATES[70])
    assert len(told.rates) == len(told.losses) == len(told.smoothed) == 70


def test_losses_that_never_fall_or_are_no_numbers_at_once_suggest_nothing() -> None:
    with pytest.raises(ConfigError, match="falls at no learning rate"):
        judged(RATES, np.linspace(1, 2, STEPS).tolist())
    with pytest.raises(ConfigError, match="no number any more after 3 steps"):
        judged(RATES, [1.0] * 3)
    assert judged(RATES, valley(1e-5)[: FEWEST * 3])
