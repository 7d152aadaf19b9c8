"""The shelf's names and cards, without Keras."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from noria import models
from noria.errors import UnknownNameError


def test_names_and_cards_come_without_keras() -> None:
    code = (
        "import sys; from noria import models; [models.card(name) for name in models.names()];"
        "print([m for m in ('keras', 'tensorflow') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert (child.stdout.strip(), child.returncode) == ("[]", 0), child.stderr


def test_every_name_belongs_to_one_family_and_has_a_full_card() -> None:
    names = models.names()
    assert len(names) == len(set(names)) >= 30
    for name in names:
        card = models.card(name)
        assert card.name == name
        assert all((card.licence, card.weights_source, card.note)) and card.url.startswith("https://")
    for name in models.names("image"):
        card = models.card(name)
        assert card.paper
        if card.strategy == "scratch":
            assert card.settings["height"] == card.settings["width"] <= 64
        else:
            assert 200 <= card.settings["height"] <= 512
            assert card.parameters and card.parameters > 500_000


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no model named 'mobilenetv2'.*Did you mean 'MobileNetV2'"):
        models.find("mobilenetv2")
    with pytest.raises(UnknownNameError, match="Did you mean 'efficientnet_lite0'"):
        models.card("efficientnet-lite0")
