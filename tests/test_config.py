"""Config: TOML and overrides in, one frozen Config or a message that helps out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from noria.config import Config, config_class, load_config, parse, resolved, to_toml
from noria.errors import ConfigError, UnknownNameError
from noria.tomlfile import MAX_CONFIG_BYTES


def dotted(tree: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the keys of a nested table, with dots."""
    keys = set()
    for name, value in tree.items():
        keys |= dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return keys


def test_the_written_defaults_load_back_to_the_same_config(tmp_path: Path) -> None:
    file = tmp_path / "noria.toml"
    file.write_text(to_toml(load_config()), encoding="utf-8")
    assert load_config(file) == load_config()


def test_changed_values_survive_writing_and_loading(tmp_path: Path) -> None:
    changed = load_config(
        overrides=["seed=7", "data.split=[8, 1, 1]", "training.l2=[0.5]", "input.fit=crop", 'model.name="MobileNetV2"']
    )
    file = tmp_path / "noria.toml"
    file.write_text(to_toml(changed), encoding="utf-8")
    assert load_config(file) == changed != load_config()


def test_every_setting_is_written_and_no_other() -> None:
    text = to_toml(load_config())
    written = dotted(tomllib.loads(text))
    # There, behind a #: a network may be made for another size, and a strategy suit other settings.
    commented, section = set(), ""
    for line in text.splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        commented |= {f"{section}.{found.group(1)}" for found in [re.match(r"# (\w+) = ", line)] if found}
    assert written | commented == dotted(load_config().model_dump(mode="json"))
    assert not written & commented
    assert {"input.height", "input.width", "training.learning_rate", "training.epochs"} <= commented
    assert "\n# height = 224" in text
    assert "\nheight = 300" in to_toml(load_config(input__height=300))
    assert "\nlearning_rate = 0.5" in to_toml(load_config(training__learning_rate=0.5))
    assert {"seed", "data.split", "augment.rotation_range", "training.l2", "export.formats"} <= written


def test_every_written_line_is_accepted_as_an_override() -> None:
    for key in sorted(dotted(tomllib.loads(to_toml(load_config())))):
        *sections, leaf = key.split(".")
        value: Any = load_config()
        for name in (*sections, leaf):
            value = getattr(value, name)
        given = str(value) if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
        assert load_config(overrides=[f"{key}={given.replace('True', 'true').replace('False', 'false')}"]), key


def test_quotes_and_backslashes_in_values_survive(tmp_path: Path) -> None:
    odd = load_config(model__weights='C:\\weights\\a "quoted" 名.h5')
    file = tmp_path / "noria.toml"
    file.write_text(to_toml(odd), encoding="utf-8")
    assert load_config(file).model.weights == 'C:\\weights\\a "quoted" 名.h5'


def test_the_config_stored_as_json_parses_back_to_itself() -> None:
    config = load_config(overrides=["augment.views=3"])
    assert parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.epochs=20", lambda config: config.training.epochs == 20),
        ("training.learning_rate=3e-4", lambda config: config.training.learning_rate == 3e-4),
        ("training.l2=[0.1, 0.2]", lambda config: config.training.l2 == (0.1, 0.2)),
        ("data.split = [4, 1, 1]", lambda config: config.data.split == (4.0, 1.0, 1.0)),
        ("input.fit=pad", lambda config: config.input.fit == "pad"),
        ('input.fit="pad"', lambda config: config.input.fit == "pad"),
        ("augment.horizontal_flip=false", lambda config: config.augment.horizontal_flip is False),
        ('export.formats=["keras"]', lambda config: config.export.formats == ("keras",)),
        ("model.weights=/a/path with = in it.h5", lambda config: config.model.weights == "/a/path with = in it.h5"),
    ],
)
def test_overrides_take_numbers_words_lists_and_truths(override: str, read: Any) -> None:
    assert read(load_config(overrides=[override]))


def test_options_win_over_overrides_and_overrides_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "noria.toml"
    file.write_text("seed = 1\n[training]\nepochs = 1\npatience = 1\n")
    config = load_config(file, ["training.epochs=2", "seed=2"], seed=3)
    assert (config.seed, config.training.epochs, config.training.patience) == (3, 2, 1)


def test_an_option_that_was_not_given_changes_nothing() -> None:
    assert load_config(seed=None, model__name=None) == load_config()


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("training.epoch=3", "training.epochs"),
        ("trainng.epochs=3", "training"),
        ("epochs=3", "training.epochs"),
        ("augment.rotation=3", "augment.rotation_range"),
        ("sed=3", "seed"),
        ("training.lr=1", "training.learning_rate"),
        ("lr=1", "training.learning_rate"),
        ("augment.flip=true", "augment.horizontal_flip"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(override: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}"):
        load_config(overrides=[override])


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"Known: .*training\.epochs"):
        load_config(overrides=["zzz=3"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=0", "training.epochs"),
        ("training.epochs=many", "many"),
        ("data.split=[1, 0, 1]", r"\[3, 1, 1\]"),
        ("data.split=[nan, 1, 1]", r"\[3, 1, 1\]"),
        ("data.split=[inf, 1, 1]", r"\[3, 1, 1\]"),
        ("data.split=[1, 2]", "data.split"),
        ("training=3", "training"),
        ("seed=-1", "seed"),
        ("input.fit=squeeze", "crop"),
        ("export.formats=[]", "export.formats"),
        ("training.learning_rate=nan", "training.learning_rate"),
        ("training.clip_norm=inf", "training.clip_norm"),
        ("training.l2=[nan]", "training.l2"),
        ("training.epochs", "key=value"),
        ("training.epochs.more=1", "training.epochs"),
    ],
)
def test_an_impossible_value_is_an_error_that_names_its_key_or_value(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "training.epochs=0",
            "'training.epochs' = 0: expected a whole number of at least 1 and at most 10,000, e.g. 60.",
        ),
        (
            "augment.views=many",
            "'augment.views' = 'many': expected \"auto\" or a whole number of at least 0 and at most 64",
        ),
        ("input.fit=squeeze", "'input.fit' = 'squeeze': expected one of stretch, pad, crop, e.g. \"stretch\"."),
        ("training.l2=many", "expected a list of at most 32 values, each a number"),
        ("data.split=[1, 2]", "'data.split' = [1, 2]: expected a list of 3 values, e.g. [3.0, 1.0, 1.0]."),
        ("training=3", "'training' = 3: expected a section, [training]."),
    ],
)
def test_an_impossible_value_is_answered_once_in_our_own_words_with_what_is_allowed(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Input" not in str(caught.value)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="image_classification"):
        load_config(task="image_clasification")


def test_the_task_decides_the_input_and_augmentation_settings() -> None:
    from noria.data.augment import image as augment
    from noria.inputs import image

    kind = config_class("image_classification")
    assert issubclass(kind, Config)
    assert kind.model_fields["input"].annotation is image.Settings
    assert kind.model_fields["augment"].annotation is augment.Settings


@pytest.mark.parametrize("text", ["a = = 3", "[data", "\x00", 'seed = "'])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        load_config(file)


def test_a_binary_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary.toml", tmp_path / "huge.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    huge.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    for path in (binary, huge, tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_config(path)


def test_a_byte_order_mark_as_windows_editors_write_it_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "noria.toml"
    file.write_bytes(b"\xef\xbb\xbfseed = 5\n")
    assert load_config(file).seed == 5


def test_a_config_cannot_be_changed_after_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config().seed = 3  # type: ignore[misc]


def test_what_suits_model_and_strategy_gives_way_to_what_is_set() -> None:
    suited = resolved(load_config(model__name="resnet_small")).training
    assert (suited.optimizer, suited.strategy, suited.schedule) == ("sgd", "scratch", "one_cycle")
    own = resolved(load_config(model__name="resnet_small", training__optimizer="adam")).training
    assert (own.optimizer, own.schedule) == ("adam", "one_cycle")
    # The card's settings are for its own strategy.
    assert resolved(load_config(training__strategy="finetune")).training.learning_rate == 3e-4
    assert resolved(load_config()).training.learning_rate == 1e-3


def test_a_resolved_config_is_written_whole() -> None:
    config = resolved(load_config(model__name="resnet_small"))
    assert parse(tomllib.loads(to_toml(config))) == config
