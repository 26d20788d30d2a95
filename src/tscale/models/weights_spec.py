"""What a spec says of the weights of a release, and of a family that a file is counted like: of few models, so a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from tscale.blocks.fields import MOST_SIZE, Problem, Whole, of_one_line, within
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.dtypes import DTYPES, find_format
from tscale.errors import RequestError, field, shown
from tscale.models.spec import MOST_LAYERS, Evidence


@spec_dataclass
class WeightRule:
    """Weights that a release keeps in a format of their own."""

    format: str
    """What they are kept in: a name of `tscale list formats`, or one that spells out its scales (int4-g64-sym, fp8-128x128)."""
    parts: tuple[str, ...]
    """What is kept so, by the names that `params` shows, whole or up to a dot: attention is all of its matrices."""
    layers: tuple[Annotated[int, Whole(0, MOST_SIZE)], ...] | None = None
    """The layers by number, counted from 0; absent: all of them."""

    def problems(self) -> Iterator[Problem]:
        """A format that is not known, and lists that say nothing, or a thing twice."""
        yield from _format_problems("format", self.format)
        if not self.parts:
            yield ("parts",), "an empty list is about nothing: name parts, such as attention or head"
        if len(set(self.parts)) < len(self.parts):
            yield ("parts",), "parts are each listed once"
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers)):
            yield ("layers",), "layers are each listed once; leave it out for all of them"


@spec_dataclass
class Release:
    """What weights are kept in as they are released: one format, and rules for what is kept in another."""

    method: str | None = None
    """The quantisation method, as its file calls it."""
    format: str | None = None
    """What matrices of layers are kept in, routers excepted, where no rule says otherwise; absent: as all else."""
    rules: tuple[WeightRule, ...] = ()
    """The first rule that is about a weight decides."""
    rest: Literal["bf16", "fp16", "fp32"] = "bf16"
    """What all else is kept in."""
    cache: str | None = None
    """What the file says that a cache is kept in; absent: in 16 bits."""
    unread: tuple[str, ...] = ()
    """What its file says and was not read; it is counted as if it did not stand there."""

    def problems(self) -> Iterator[Problem]:
        """Formats that are not known, and texts that no table could show."""
        for key, name in (("format", self.format), ("cache", self.cache)):
            if name is not None:
                yield from _format_problems(key, name, cache=key == "cache")
        yield from of_one_line(method=self.method)
        yield from _unshowable("unread", self.unread)
        for place, rule in enumerate(self.rules):
            yield from within(("rules", place), rule.problems())

    def layer_problems(self, layers: int, *, apart: bool) -> Iterator[Problem]:
        """Rules about layers of a stack that it does not have, or whose layers are not told `apart` by number."""
        for place, rule in enumerate(self.rules):
            if rule.layers is None:
                continue
            if not apart:
                message = (
                    "formats by layer are known in a single stack of layers with weights of their own: leave layers out"
                )
            elif layers > MOST_LAYERS:
                message = f"formats by layer are known up to {MOST_LAYERS:,} layers, and there are {layers:,}: leave layers out"
            elif max(rule.layers, default=0) >= layers:
                message = f"layers are counted from 0, here to {layers - 1}, and {max(rule.layers)} is past the last"
            else:
                continue
            yield ("rules", place, "layers"), message


def _format_problems(key: str, name: str, *, cache: bool = False) -> Iterator[Problem]:
    """What is wrong with the name of a format: a file is held to it as it is written."""
    try:
        found = find_format(name, what=key, cache=cache)
    except RequestError as error:
        yield (key,), error.text.removeprefix(f"{key}: ")
        return
    if found.is_mixture:
        yield (
            (key,),
            f"{shown(name)} mixes types, tensor by tensor: {field('dtype')} asks for it; name a type, such as q4_k",
        )
    if name != name.strip():
        yield (key,), f"{shown(name)} has blanks around it: write {shown(name.strip())}"


def _unshowable(key: str, texts: tuple[str, ...]) -> Iterator[Problem]:
    """Those of several texts that no table could show."""
    for place, text in enumerate(texts):
        for _, message in of_one_line(text=text):
            yield (key, place), message


@spec_dataclass
class NamedRelease:
    """A release of a model after its first: in which formats, who made it, and where that was read."""

    name: str
    """What its repository is called: meta-llama/Llama-3.1-405B-Instruct-FP8."""
    dtype: str
    """The format that means it where weights are asked for in one: a name of `tscale list formats`."""
    weights: Release
    source: str
    """Where its formats were read."""
    evidence: Evidence

    def problems(self) -> Iterator[Problem]:
        """A name of a format that is not known, or that is spelled out and so means itself alone, and what is wrong with its weights."""
        yield from _format_problems("dtype", self.dtype)
        if self.dtype not in DTYPES:
            yield ("dtype",), f"a release is meant by a name that `tscale list formats` has, not {shown(self.dtype)}"
        yield from of_one_line(name=self.name, source=self.source)
        if self.weights.format is None and not self.weights.rules:
            yield ("weights",), "a release in no format is none: name its format, or rules"
        yield from within(("weights",), self.weights.problems())


def releases_problems(releases: tuple[NamedRelease, ...], layers: int, *, apart: bool) -> Iterator[Problem]:
    """What is wrong with several releases, two of one format among it."""
    for place, release in enumerate(releases):
        if release.dtype in (before.dtype for before in releases[:place]):
            yield ("releases", place, "dtype"), f"{release.dtype} means one release: there are two in it"
        yield from within(("releases", place), release.problems())
        yield from within(("releases", place, "weights"), release.weights.layer_problems(layers, apart=apart))


@spec_dataclass
class AssumedFamily:
    """A family that a file of an unknown one is counted like (--assume)."""

    family: str
    model_type: str | None = None
    """What the file says that it is."""
    defaults: tuple[str, ...] = ()
    """What was taken from the family's defaults, since the file does not say it."""
    unread: tuple[str, ...] = ()
    """Keys of the file that the family does not have."""

    def problems(self) -> Iterator[Problem]:
        """Texts that no table could show."""
        yield from of_one_line(model_type=self.model_type)
        yield from _unshowable("defaults", self.defaults)
        yield from _unshowable("unread", self.unread)
