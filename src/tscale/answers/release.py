"""What weights and cache are kept in where a model says it itself, and the lines about it that begin an answer."""

from __future__ import annotations

from typing import NamedTuple

from tscale.answers.release_words import method, words
from tscale.core.costs.weights import Mixture
from tscale.core.dtypes import FORMATS, Format, find_format
from tscale.core.metric import Data, Known
from tscale.models.gguf import gguf_mixture
from tscale.models.release import released
from tscale.models.spec import ModelSpec


def format_of(spec: ModelSpec, asked: Format | None) -> Format | Mixture:
    """What weights are kept in: as asked, as released, or in bf16. Raises `RequestError` as `released` and mixtures do."""
    if asked is not None:
        return gguf_mixture(spec, asked) if asked.mixture else asked
    return released(spec) or FORMATS["bf16"]


def cache_format_of(spec: ModelSpec, asked: Format | None, weights: Format | Mixture) -> Format:
    """What a cache is kept in: as asked, as the release says, or in 16 bits of the kind that is computed in, or 32."""
    if asked is not None:
        return asked
    if isinstance(weights, Mixture) and spec.weights is not None and spec.weights.cache is not None:
        return find_format(spec.weights.cache, what="weights.cache", cache=True)
    return FORMATS["fp16"] if weights.scope == "matrices" else FORMATS[weights.rest]


def state_formats(
    spec: ModelSpec, asked: Format | None, weights: Format | Mixture
) -> tuple[Format | None, Format | None]:
    """What recurrent states are kept in, and what convolutions still need: as asked, as its file or the engine says.

    llama.cpp keeps both in fp32 (llama-memory-recurrent.cpp); Kimi's delta rule has its states in fp32 in every engine
    (vLLM, `kda_state_dtype`). None: as the cache.
    """
    if weights.scope == "matrices":
        return asked or FORMATS["fp32"], FORMATS["fp32"]
    if asked is None and spec.states is not None:
        asked = FORMATS[spec.states]
    if asked is None and any(mixer.kind == "kimi-delta" for mixer in spec.mixers):
        asked = FORMATS["fp32"]
    return asked, None


def training_note(spec: ModelSpec, precision: str) -> str:
    """That weights are trained in another format than that of the release, where a model has one."""
    mixed = released(spec)
    if mixed is None or not mixed.placed:
        return ""
    return f"{spec.label} is released in {mixed.name}; training is counted in {precision}, as --precision says."


class Asked(NamedTuple):
    """What was asked of a model that says what it is released in: formats of weights and of the cache, or neither."""

    spec: ModelSpec
    weights: Format | None
    cache: Format | None

    @property
    def known(self) -> Known:
        """How the bytes of weights are known: not by more than an assumption where a release was not all read."""
        unread = self.spec.weights is not None and self.weights is None and self.spec.weights.unread
        return "assumed" if unread else "exact"

    def lead(self) -> tuple[str, ...]:
        """What must be read before the figures: what was taken from the file, what was not read, what was overridden."""
        said = self.spec.weights
        if said is None:
            return ()
        lines = []
        mixed = released(self.spec)
        placed = mixed is not None and mixed.placed
        cached = "" if said.cache is None or self.cache is not None else f", and its cache in {said.cache}"
        if self.weights is not None and placed:
            assert mixed is not None
            lines.append(
                f"--dtype {self.weights.name} overrides the release, whose weights are in {mixed.name}{cached}."
            )
        elif placed:
            lines.append(f"Weights as released{method(said)}: {words(said)} --dtype overrides that.")
        if self.weights is None:
            lines += [f"Not read, and counted in {said.rest} as if it were not there: {text}." for text in said.unread]
        if self.weights is None and said.cache is not None:
            if self.cache is None:
                lines.append(f"The cache is in {said.cache}, as the release says; --cache-dtype overrides that.")
            elif self.cache.name != said.cache:
                lines.append(f"--cache-dtype {self.cache.name} overrides the release, whose cache is in {said.cache}.")
        return tuple(lines)

    def data(self) -> dict[str, Data]:
        """Where the format of weights is from, and what of a release was not read."""
        said = self.spec.weights
        source = "asked" if self.weights is not None else "release" if said is not None else "default"
        return {
            "dtype_source": source,
            "dtype_method": None if said is None or self.weights is not None else said.method,
            "dtype_unread": [] if said is None or self.weights is not None else list(said.unread),
        }
