"""Near duplicates of real photos are found, however they were made, and different photos are not taken for them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from noria.data.duplicates import join_pairs
from noria.data.similarity.image import PART_THRESHOLD, THRESHOLD, near_pairs
from noria.inputs import image

PHOTOS = 120
COPIES = 24


@pytest.fixture(scope="module")
def flowers(shared_data: Path) -> list[Image.Image]:
    """Photos of which no two are alike: every 33rd of all."""
    files = sorted((shared_data / "flowers").glob("*/*.jpg"))
    return [Image.open(file).convert("RGB") for file in files[:: len(files) // PHOTOS][:PHOTOS]]


def saved(picture: Image.Image, quality: int = 95) -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def sketch(picture: Image.Image, quality: int = 95) -> bytes:
    return image.inspect(saved(picture, quality), image.Settings()).sketch


def resized(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 3, picture.height // 3))


def mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def watermarked(picture: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", picture.size)
    draw, size = ImageDraw.Draw(layer), picture.width // 8
    for top in range(0, picture.height, size * 3):
        draw.text((5, top), "example.com", font=ImageFont.load_default(size), fill=(255, 255, 255, 150))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def brightened(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(picture).enhance(1.25)).enhance(1.1)


def recompressed(picture: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(saved(picture, quality=12)))


def cropped(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((width // 10, height // 10, width * 85 // 100, height * 85 // 100))


def framed(picture: Image.Image) -> Image.Image:
    made = Image.new("RGB", (picture.width + 60, picture.height + 60), "black")
    made.paste(Image.new("RGB", (picture.width + 40, picture.height + 40), "white"), (10, 10))
    made.paste(picture, (30, 30))
    return made


def colours(pictures: list[Image.Image]) -> NDArray[np.float32]:
    """Means of colour over a coarse grid stand in for a network: a part of a picture has colours like the whole."""
    return np.stack([np.asarray(one.resize((2, 2), Image.Resampling.BOX), np.float32).ravel() for one in pictures])


def cut(picture: Image.Image, left: float, top: float, side: float) -> Image.Image:
    """Return what begins at shares of the width and height, and is a share of both."""
    (width, height), right, bottom = picture.size, left + side, top + side
    return picture.crop(tuple(map(round, (left * width, top * height, right * width, bottom * height))))


@pytest.mark.parametrize("change", [resized, mirrored, watermarked, brightened, recompressed])
def test_each_kind_of_copy_is_found_and_nothing_else(
    flowers: list[Image.Image], change: Callable[[Image.Image], Image.Image]
) -> None:
    sketches = [sketch(one) for one in flowers] + [sketch(change(one)) for one in flowers[:COPIES]]
    found = {(first, second) for first, second, _ in near_pairs(sketches)}
    assert found == {(number, PHOTOS + number) for number in range(COPIES)}


def test_parts_are_found_where_there_are_features(flowers: list[Image.Image]) -> None:
    pictures = [*flowers, *(cropped(one) for one in flowers[:COPIES])]
    vectors = colours(pictures)
    sketches = [sketch(one) for one in pictures]
    assert near_pairs(sketches) == []
    found = {(first, second) for first, second, _ in near_pairs(sketches, lambda: vectors)}
    assert found <= {(number, PHOTOS + number) for number in range(COPIES)}
    assert len(found) > COPIES / 2


def test_two_cuts_that_overlap_are_found_without_the_photo_itself(flowers: list[Image.Image]) -> None:
    cuts = [cut(one, *corner, 0.9) for corner in ((0, 0), (0.1, 0.1)) for one in flowers[:COPIES]]
    pictures = [*cuts, *flowers[COPIES:]]
    found = {
        (first, second) for first, second, _ in near_pairs([sketch(one) for one in pictures], lambda: colours(pictures))
    }
    assert found <= {(number, COPIES + number) for number in range(COPIES)}
    assert len(found) > COPIES / 2


def test_all_cuts_of_a_photo_are_one_group_however_many_there_are(flowers: list[Image.Image]) -> None:
    drawn, photos, each = np.random.default_rng(0), 8, 25
    owners = np.repeat(np.arange(photos), each)
    cuts = [cut(flowers[owner], *drawn.uniform(0, 0.15, 2), 0.85) for owner in owners]
    cuts = [mirrored(one) if number % 2 else one for number, one in enumerate(cuts)]
    pictures = [*cuts, *flowers[photos:]]
    groups = np.array(
        join_pairs(near_pairs([sketch(one) for one in pictures], lambda: colours(pictures)), len(pictures))
    )
    assert len(set(groups[: len(cuts)])) <= photos + 2  # at most two cuts on their own
    assert all(len(set(owners[groups[: len(cuts)] == group])) == 1 for group in set(groups[: len(cuts)]))


def test_different_photos_in_the_same_frame_are_not_alike(flowers: list[Image.Image]) -> None:
    sketches = [sketch(framed(one)) for one in flowers[:COPIES]] + [sketch(one) for one in flowers[COPIES:]]
    assert near_pairs(sketches) == []


def test_the_same_pictures_give_the_same_pairs(flowers: list[Image.Image]) -> None:
    sketches = [sketch(one) for one in flowers] + [sketch(resized(one)) for one in flowers[:COPIES]]
    assert near_pairs(sketches) == near_pairs(sketches)


def test_the_thresholds_that_were_used_are_told_and_rise_where_pictures_are_alike(flowers: list[Image.Image]) -> None:
    few, many = dict[str, float](), dict[str, float]()
    near_pairs([sketch(one) for one in flowers], used=few)
    assert few == {"threshold": THRESHOLD}  # parts were not looked for
    small = [one.resize((320, 240)) for one in flowers]
    doubled = [Image.blend(one, other, 0.3) for one, other in zip(small[:40], small[40:80], strict=True)]
    pictures = [*flowers[40:], *doubled]  # forty of them shine through others
    near_pairs([sketch(one) for one in pictures], lambda: colours(pictures), used=many)
    assert many["threshold"] > THRESHOLD
    assert many["parts_threshold"] > PART_THRESHOLD


def still(picture: Image.Image, drawn: np.random.Generator) -> Image.Image:
    """Return what a camera that looks at a still scene makes of it: another light, and noise."""
    seen = np.asarray(picture, np.float32) * drawn.uniform(0.9, 1.1)
    return Image.fromarray(np.clip(seen + drawn.normal(0, 6, seen.shape), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("count", [10, 50, 200])
def test_a_set_of_many_copies_of_one_picture_is_one_group(flowers: list[Image.Image], count: int) -> None:
    drawn, used = np.random.default_rng(0), dict[str, float]()
    copies = [sketch(still(flowers[0], drawn), int(drawn.integers(60, 96))) for _ in range(count)]
    sketches = [*copies, *(sketch(one) for one in flowers[40:])]
    groups = join_pairs(near_pairs(sketches, used=used), len(sketches))
    assert set(groups[:count]) == {0}
    assert len(set(groups)) == PHOTOS - 40 + 1
    assert used["threshold"] < 0.3  # as without them, or hardly more: it was 0.6 where they were ten


def test_copies_of_other_pictures_are_found_beside_many_of_one(flowers: list[Image.Image]) -> None:
    drawn = np.random.default_rng(0)
    many = [sketch(still(flowers[0], drawn)) for _ in range(50)]
    others = [*(sketch(one) for one in flowers[1:]), *(sketch(watermarked(resized(one))) for one in flowers[1:25])]
    groups = np.array(join_pairs(near_pairs([*many, *others]), len(many) + len(others)))
    assert set(groups[:50]) == {0}
    assert groups[50:74].tolist() == groups[-24:].tolist()
    assert len(set(groups)) == PHOTOS


def test_alike_pictures_of_one_kind_beside_others_are_no_copies(flowers: list[Image.Image]) -> None:
    """What is alike in all degrees is one kind of picture, however many of it there are."""
    shares = np.random.default_rng(0).uniform(0.3, 0.75, 60)
    base = flowers[0].resize((320, 240))
    kind = [Image.blend(one.resize((320, 240)), base, share) for one, share in zip(flowers[1:61], shares, strict=True)]
    assert near_pairs([sketch(one) for one in (*kind, *flowers[61:])]) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pictures_are_no_trouble(flowers: list[Image.Image], count: int) -> None:
    assert near_pairs([sketch(one) for one in flowers[:count]]) == []


def test_pictures_of_one_colour_are_near_to_nothing() -> None:
    plain = [Image.new("RGB", (64, 48), (shade, shade, shade)) for shade in range(0, 250, 25)]
    assert near_pairs([sketch(one) for one in plain]) == []


def test_pictures_that_show_nothing_are_not_copies_of_one_another(flowers: list[Image.Image]) -> None:
    plain = [
        Image.new("RGB", (200 + 10 * place, 150), colour) for place, colour in enumerate(("red", "green", "black"))
    ]
    pairs = near_pairs([sketch(one) for one in (*flowers, *plain)])
    assert not [pair for pair in pairs if max(pair[:2]) >= len(flowers)]


def test_copies_of_small_pictures_are_found_however_small_they_are(shared_data: Path) -> None:
    files = sorted((shared_data / "flowers").glob("*/*.jpg"))[::3]
    small = [Image.open(file).convert("RGB").resize((32, 32), Image.Resampling.BOX) for file in files]
    smaller = [one.resize((19, 19), Image.Resampling.LANCZOS) for one in small[:: len(small) // COPIES][:COPIES]]
    pairs = {pair[:2] for pair in near_pairs([sketch(one) for one in (*small, *smaller)])}
    copied = [place * (len(small) // COPIES) for place in range(COPIES)]
    assert sum((one, len(small) + place) in pairs for place, one in enumerate(copied)) >= 0.9 * COPIES


def test_strokes_on_a_plain_ground_are_no_parts_of_one_another() -> None:
    digits = []
    for place in range(48):
        drawing = Image.new("RGB", (28, 28))
        font = ImageFont.load_default(16 + place % 9)
        ImageDraw.Draw(drawing).text((6 + place % 6, 1 + place % 5), "1479"[place % 4], font=font)
        drawing = drawing.rotate(place * 7 % 41 - 20, Image.Resampling.BICUBIC)
        target = io.BytesIO()
        drawing.save(target, "PNG")
        digits.append(image.inspect(target.getvalue(), image.Settings()).sketch)
    anything = np.random.default_rng(0).normal(size=(len(digits), 32)).astype(np.float32)
    whole = near_pairs(digits)
    assert near_pairs(digits, lambda: anything) == whole
    assert len(whole) < 5


def test_parts_are_found_by_the_middles_where_features_of_wholes_do_not_know_them(flowers: list[Image.Image]) -> None:
    pictures = [*flowers, *(cut(one, 0.15, 0.15, 0.7) for one in flowers[:COPIES])]
    sketches = [sketch(one) for one in pictures]
    drawn = np.random.default_rng(0)
    wholes, enlarged = (drawn.normal(size=(len(pictures), 64)).astype(np.float32) for _ in range(2))
    enlarged[:COPIES] = wholes[PHOTOS:]  # what is cut out looks as the middle does, enlarged
    found = {pair[:2] for pair in near_pairs(sketches, lambda: wholes, middles=lambda rows: enlarged[rows])}
    assert found <= {(number, PHOTOS + number) for number in range(COPIES)}
    assert len(found) > COPIES / 2


def test_of_pictures_whose_parts_are_known_again_few_middles_are_asked_for(flowers: list[Image.Image]) -> None:
    asked = list[int]()

    def middles(rows: Sequence[int]) -> NDArray[np.float32]:
        asked.extend(rows)
        return colours([flowers[row] for row in rows])

    assert near_pairs([sketch(one) for one in flowers], lambda: colours(flowers), middles=middles) == []
    assert 0 < len(set(asked)) == len(asked) < PHOTOS
