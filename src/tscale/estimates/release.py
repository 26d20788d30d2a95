"""What weights and cache are kept in where a model says it itself, and the lines about it that begin an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from tscale.core.costs.weights import Mixture
from tscale.core.dtypes import DTYPES, Dtype, find_format
from tscale.core.metric import Data, Known
from tscale.estimates.release_words import method, words
from tscale.models.release import release_in, released
from tscale.models.spec import ModelSpec

if TYPE_CHECKING:
    from tscale.models.weights_spec import NamedRelease, Release


def format_of(spec: ModelSpec, asked: Dtype | None) -> Dtype | Mixture:
    """What weights are kept in: as asked, as released, or in bf16. Raises `RequestError` as `released` and mixtures do.

    A format means the model's release in it where one is known, and all matrices alike where none is, or by its name
    with -pure.
    """
    if asked is None:
        return released(spec) or DTYPES["bf16"]
    other = release_in(spec, asked)
    if other is not None:
        return released(spec, other.weights) or DTYPES["bf16"]
    if not asked.mixture:
        return asked
    from tscale.models.gguf import gguf_mixture

    return gguf_mixture(spec, asked)


def cache_format_of(asked: Dtype | None, weights: Dtype | Mixture) -> Dtype:
    """What a cache is kept in: as asked, as the release says, or in 16 bits of the kind that is computed in, or 32."""
    if asked is not None:
        return asked
    if isinstance(weights, Mixture) and weights.cache is not None:
        return find_format(weights.cache, what="weights.cache", cache=True)
    return DTYPES["fp16"] if weights.scope == "matrices" else DTYPES[weights.rest]


def state_formats(spec: ModelSpec, asked: Dtype | None, weights: Dtype | Mixture) -> tuple[Dtype | None, Dtype | None]:
    """What recurrent states are kept in, and what convolutions still need: as asked, as its file or the engine says.

    llama.cpp keeps both in fp32 (llama-memory-recurrent.cpp); Kimi's delta rule has its states in fp32 in every engine
    (vLLM, `kda_state_dtype`). None: as the cache.
    """
    if weights.scope == "matrices":
        return asked or DTYPES["fp32"], DTYPES["fp32"]
    if asked is None and spec.states is not None:
        asked = DTYPES[spec.states]
    if asked is None and any(mixer.kind == "kimi-delta" for mixer in spec.mixers):
        asked = DTYPES["fp32"]
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
    weights: Dtype | None
    cache: Dtype | None

    @property
    def named(self) -> NamedRelease | None:
        """The release that the format of weights means, where it means one."""
        return None if self.weights is None else release_in(self.spec, self.weights)

    @property
    def said(self) -> Release | None:
        """The release that weights are counted by: the model's own or a named one; None where their format was asked for."""
        named = self.named
        if named is not None:
            return named.weights
        return self.spec.weights if self.weights is None else None

    @property
    def known(self) -> Known:
        """How the bytes of weights are known: not by more than an assumption where a release was not all read."""
        return "assumed" if self.said is not None and self.said.unread else "exact"

    def lead(self) -> tuple[str, ...]:
        """What must be read before the figures: what was taken from a release, what was not read, what was overridden."""
        return tuple(filter(None, (self._weights(), *self._unread(), self._cache())))

    def _weights(self) -> str:
        """Which release weights are of, or which one is overridden."""
        named, own = self.named, self.spec.weights
        if named is not None:
            return (
                f"Weights in {named.dtype} as released in {named.name}{method(named.weights)}: {words(named.weights)} "
                f"--dtype {named.dtype}-pure converts all matrices of layers."
            )
        if own is None or not (own.format is not None or own.rules):
            return self._unreleased()
        if self.weights is None:
            return f"Weights as released{method(own)}: {words(own)} --dtype overrides that."
        mixed = released(self.spec)
        assert mixed is not None
        if not mixed.placed:
            return ""
        if self.weights.name == own.method:
            return f"--dtype {self.weights.name} converts weights by the rule of that format: leave it out for the release."
        cached = "" if own.cache is None or self.cache is not None else f", and its cache in {own.cache}"
        return f"--dtype {self.weights.name} overrides the release, whose weights are in {mixed.name}{cached}."

    def _unreleased(self) -> str:
        """That a format is none of a release, of a model that is released in the same kind of format."""
        if self.weights is None:
            return ""
        bits = self.weights.bits.numerator // self.weights.bits.denominator
        near = [one for one in self.spec.releases or () if int(DTYPES[one.dtype].bits) == bits]
        if not near:
            return ""
        return f"All matrices of layers in {self.weights.name}: this is not {near[0].name}, which --dtype {near[0].dtype} means."

    def _unread(self) -> Iterator[str]:
        said = self.said
        for text in () if said is None else said.unread:
            assert said is not None
            yield f"Not read, and counted in {said.rest} as if it were not there: {text}."

    def _cache(self) -> str:
        """What a release keeps its cache in, or that this is overridden."""
        said = self.said
        if said is None or said.cache is None:
            return ""
        if self.cache is None:
            return f"The cache is in {said.cache}, as the release says; --cache-dtype overrides that."
        if self.cache.name == said.cache:
            return ""
        return f"--cache-dtype {self.cache.name} overrides the release, whose cache is in {said.cache}."

    def data(self) -> dict[str, Data]:
        """Where the format of weights is from, and what of a release was not read."""
        said, named = self.said, self.named
        source = "release" if said is not None else "asked" if self.weights is not None else "default"
        return {
            "dtype_source": source,
            "dtype_release": None if named is None else named.name,
            "dtype_method": None if said is None else said.method,
            "dtype_unread": [] if said is None else list(said.unread),
        }
