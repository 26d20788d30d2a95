"""The model families whose `config.json` can be read: the rows of `configs/families/`, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Final, TypeVar

from tscale.catalogue import index
from tscale.importer.config_keys import NEEDED
from tscale.importer.family import Family
from tscale.importer.family_data import row_of
from tscale.importer.nested import ANY_TEXT, Nested

__all__ = ["ALSO", "FAMILIES", "NEEDED", "NESTED", "NOT_YET", "ROWS"]

ROWS: Final[dict[str, Family | Nested]] = {}
"""Rows that stand in no file: what a test or another program adds in Python."""


@cache
def _shipped(name: str) -> Family | Nested | None:
    """The row of a shipped family, as it was compiled, or read from its file where that has changed since."""
    if not index.is_compiled("families", name):
        return None
    data = index.compiled("families", name)
    if data is None:
        from tscale.importer.family_schema import family_from_yaml

        data = family_from_yaml(name)
    return row_of(data)


_OF_USER: ContextVar[Mapping[str, Family | Nested]] = ContextVar("families of a user", default=MappingProxyType({}))


@contextmanager
def more_families(given: object) -> Iterator[None]:
    """For as long as it lasts, the families of a user's file are known too, before those that are shipped.

    Args:
        given: The path of a YAML file; what such a file holds, as a mapping; or None.

    Raises:
        TscaleError: for what is no file of families, with all that is wrong with it.
    """
    if given is None:
        yield
        return
    from tscale.importer.family_schema import rows_of

    token = _OF_USER.set({one["name"]: row_of(one) for one in rows_of(given)})
    try:
        yield
    finally:
        _OF_USER.reset(token)


def is_of_user(name: str) -> bool:
    """Whether a family stands in the user's own file."""
    return name in _OF_USER.get()


def row(name: str) -> Family | Nested | None:
    """The row of a family by its name, or None."""
    return _OF_USER.get().get(name) or ROWS.get(name) or _shipped(name)


_USED: Final = (*ANY_TEXT, "deepseek_v3", "deepseek_v2", "gpt2", "bert", "t5", "bart", "falcon", "mamba")
"""Families that much is derived from: the first where all are listed."""

Kind = TypeVar("Kind", Family, Nested)


class _Table(Mapping[str, Kind]):
    """The rows of one kind by their names."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind: type[Kind] = kind

    def __getitem__(self, name: str) -> Kind:
        found = row(name)
        if not isinstance(found, self._kind):
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        own = {**ROWS, **_OF_USER.get()}
        kinds: dict[str, bool] = {name: "text" in data for name, data in index.everything("families")}
        kinds |= {name: isinstance(found, Nested) for name, found in own.items()}
        names = [*_USED, *(name for name in kinds if name not in _USED)]
        yield from (name for name in names if kinds[name] == (self._kind is Nested))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Also(Mapping[str, str]):
    """Names that a release of transformers reads as another family's."""

    def __getitem__(self, name: str) -> str:
        return _also()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_also())

    def __len__(self) -> int:
        return len(_also())


@cache
def _also() -> dict[str, str]:
    return {other: name for name, data in index.everything("families") for other in data.get("also", ())}


FAMILIES: Final[Mapping[str, Family]] = _Table(Family)
"""Families of text, and text models that stand in the files of others."""
NESTED: Final[Mapping[str, Nested]] = _Table(Nested)
"""Families that read more than text."""
ALSO: Final[Mapping[str, str]] = _Also()
"""Names that the release does not know but in one place, where it reads them as another family's."""

_REASONS: Final = {
    "its encoder attends to global tokens of its own": "pegasus_x",
    "its layers pool a sequence to shorter ones": "funnel",
    "it reads characters, of which its layers make shorter sequences and long ones again": "canine",
    "its attention hashes queries into buckets": "reformer",
    "its latents attend to inputs of any kind": "perceiver",
    "each pair of words has a projection of where they stand": "bros",
    "its head scores spans against questions inside of a text": "splinter",
    "its positions are buckets told apart by segment": "cpmant",
    "some of its layers attend to images": "idefics",
    "some of its layers attend to proteins": "evolla",
    "it is two models of any kind in one": "vision-encoder-decoder encoder-decoder speech-encoder-decoder",
    "its layers read an encoder of bytes": "blt",
    "its head and its text model take their sizes from different keys": "ovis2",
    "some of its layers are run several times over": "inkling2_loop inkling2_loop_text",
    "its layers read values of words from a table": "neomme",
    "it builds no text model by itself: it helps another one to guess tokens": "gemma4_assistant gemma4_unified_assistant",
    "it makes text by diffusion": "diffusion_gemma",
    "it makes sounds or movements": "moshi musicgen musicgen_melody pi0 seamless_m4t seamless_m4t_v2",
    "the tokenizer of images or sounds inside of it is not known": "chameleon emu3 apertus1p5",
    "it is a decoder without its encoder": "trocr",
    "both of its streams attend to one another": "lxmert",
    "it is an encoder that reads pages by towers of its own": "layoutlmv2 modernvbert ultravbert udop pix2struct pp_formulanet",
    "its tower is not known": "granite_speech_plus nemo_speechlm omniasr vibevoice_asr voxtral_realtime deepseek_ocr2 "
    "granite4_vision inkling2 inkling_mm_model cosmos3_omni unlimited_ocr "
    "fun_asr_nano moss_transcribe_diarize kosmos-2 kosmos-2.5 git t5gemma2 kyutai_speech_to_text",
    "its kinds of layers are not known": "inkling_text inkling2_text",
}
NOT_YET: Final = {name: reason for reason, names in _REASONS.items() for name in names.split()}
"""Families that are known, and why they cannot be read yet."""
