"""The tree of errors: exit codes, statuses, and messages that help."""

from __future__ import annotations

import inspect

import pytest

from noria import errors
from noria.errors import MissingExtraError, NoriaError, UnknownNameError, UserError, nearest_name

EVERY = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_is_a_noria_error_with_an_exit_code_a_status_and_a_docstring(kind: type[NoriaError]) -> None:
    assert issubclass(kind, NoriaError)
    assert kind.exit_code == (2 if issubclass(kind, UserError) else 1)
    assert kind.http_status in range(400, 500) if issubclass(kind, UserError) else kind.http_status >= 500
    assert kind.__doc__


def test_an_unknown_name_says_what_it_is_what_is_near_and_what_is_known() -> None:
    said = str(UnknownNameError("format", "lietrt", ["litert", "keras"]))
    assert said == "There is no format named 'lietrt'. Did you mean 'litert'? Known: keras, litert."


def test_an_unknown_name_on_an_empty_shelf_says_that_nothing_is_known() -> None:
    assert str(UnknownNameError("format", "x", [])).endswith("Known: none.")


def test_a_missing_extra_says_what_to_type() -> None:
    assert 'pip install "noria[train]"' in str(MissingExtraError("TensorFlow", "train"))


@pytest.mark.parametrize(
    ("typed", "meant"), [("Photos", "photos"), ("phtos", "photos"), ("MOBILENETV2", "MobileNetV2"), ("qqq", None)]
)
def test_the_nearest_name_minds_typing_errors_and_case(typed: str, meant: str | None) -> None:
    assert nearest_name(typed, ["photos", "MobileNetV2", "runs"]) == meant
