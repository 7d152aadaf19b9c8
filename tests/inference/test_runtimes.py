"""Which runtime is offered where, and how exactly each is to answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from noria.artifacts.bundle import Bundle
from noria.errors import ConfigError
from noria.inference import runtimes
from noria.inference.predictor import Input, Predictor, usable_runtimes
from noria.inference.runtimes import openvino_bfloat16
from noria.inference.runtimes._processor import has_bfloat16

SHORT = "openvino_bfloat16"


@pytest.mark.parametrize(
    ("flags", "can"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd bf16", False),  # ARM: not tried
        ("vmx flags\t: amx_bf16", False),
        ("", False),
    ],
)
def test_the_processor_is_asked_whether_it_multiplies_bfloat16(flags: str, can: bool, tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nvendor_id\t: AuthenticAMD\n{flags}\n", encoding="ascii")
    assert has_bfloat16(told) is can


def test_where_the_system_does_not_say_nothing_is_promised(tmp_path: Path) -> None:
    assert not has_bfloat16(tmp_path / "absent")


def test_a_runtime_is_offered_only_where_the_processor_can(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino_bfloat16, "runs_here", lambda: True)
    assert SHORT in usable_runtimes(bundle)
    monkeypatch.setattr(openvino_bfloat16, "runs_here", lambda: False)
    assert SHORT not in usable_runtimes(bundle)
    assert "openvino" in usable_runtimes(bundle)
    with pytest.raises(ConfigError, match=r"needs a processor that multiplies bfloat16 .* choose another"):
        Predictor(bundle, runtime=SHORT)


def test_only_what_computes_less_exactly_has_tolerances_of_its_own(bundle: Bundle) -> None:
    assert runtimes.tolerances("openvino", bundle.manifest) == bundle.manifest.tolerances["litert"]
    own = runtimes.tolerances(SHORT, bundle.manifest)
    assert own.score_difference is None
    assert own.agreement > bundle.manifest.tolerances["litert_int8"].agreement


def test_bfloat16_is_really_asked_for(bundle: Bundle, photos: Path) -> None:
    """Its answers are near those of float32 and not the same: an engine that ignored the wish would be slower."""
    if not runtimes.is_usable(SHORT):
        pytest.skip(f"openvino is not installed, or the processor is not {openvino_bfloat16.NEEDS}")
    inputs = [Input(one.name, one) for one in sorted(photos.glob("*/[0-9]*.jpg"))[:9]]
    exact, short = (_scores(Predictor(bundle, runtime=name), inputs) for name in ("openvino", SHORT))
    largest = np.abs(exact - short).max()
    assert 1e-5 < largest < 0.1


def _scores(predictor: Predictor, inputs: list[Any]) -> Any:
    return np.stack([one.scores for one in predictor.results(inputs) if one.scores is not None])


def test_a_plugin_without_such_words_runs_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "member", lambda name: SimpleNamespace(FORMAT="litert", REQUIRES="json"))
    assert runtimes.runs_here("any")
