"""Names for shell completion: what begins so of models, hardware, laws, claims, formats, fields and axes; no YAML is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Final


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete.lower())]


def model_names(incomplete: str) -> list[str]:
    """Built-in names that begin so; where none does, their other names."""
    from tscale.catalogue.models import names, names_and_aliases

    return _beginning(incomplete, names()) or _beginning(incomplete, names_and_aliases())


def hardware_names(incomplete: str) -> list[str]:
    """Accelerators that begin so, and `here`; where none does, their other names."""
    from tscale.catalogue.hardware import HERE
    from tscale.catalogue.index import aliases_of
    from tscale.catalogue.shipped import shipped_names

    return _beginning(incomplete, [*shipped_names("hardware"), HERE]) or _beginning(incomplete, aliases_of("hardware"))


def law_names(incomplete: str) -> list[str]:
    """Scaling laws that begin so."""
    from tscale.catalogue.laws import listed_laws

    return _beginning(incomplete, listed_laws())


def claims_names(incomplete: str) -> list[str]:
    """Files of claims that begin so."""
    from tscale.catalogue.shipped import shipped_names

    return _beginning(incomplete, shipped_names("claims"))


def format_names(incomplete: str) -> list[str]:
    """Formats of weights that begin so."""
    from tscale.core.dtypes import DTYPES

    return _beginning(incomplete, DTYPES)


def cache_format_names(incomplete: str) -> list[str]:
    """Formats that a cache can be kept in that begin so."""
    from tscale.core.dtypes import DTYPES

    return _beginning(incomplete, (name for name, format in DTYPES.items() if format.caches))


def one_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes a word that is one of some names."""
    known = tuple(names)
    return lambda incomplete: _beginning(incomplete, known)


def some_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes the last of several names between commas, of those that are not named yet."""
    known = tuple(names)

    def completed(incomplete: str) -> list[str]:
        before, comma, last = incomplete.lower().rpartition(",")
        rest = [name for name in known if name not in before.split(",")]
        return [f"{before}{comma}{name}" for name in _beginning(last, rest)]

    return completed


def target_names(incomplete: str) -> list[str]:
    """Matrices that adapters can be put on, those of a list behind its last comma."""
    from tscale.core.costs.states import TARGETS

    return some_of([*TARGETS] if "," in incomplete else [*TARGETS, "all"])(incomplete)


_ABOUT: Final = frozenset({"name", "title", "aliases", "year", "sources", "evidence", "notes", "notes_on", "published"})
"""Fields of a spec that say where it is from, which change no answer."""
_BLOCKS: Final = ("attention", "feed_forward", "positions", "norm", "embedding", "head")


def spec_fields(incomplete: str) -> list[str]:
    """Fields of a spec as --set takes them, `layers=`, those of a block of any kind behind its dot."""
    from tscale.models.spec import ModelSpec

    block, dot, _ = incomplete.lower().partition(".")
    if dot and block in _BLOCKS:
        return _beginning(incomplete, (f"{block}.{name}=" for name in _of_block(block)))
    own = [field.name for field in fields(ModelSpec) if field.name not in _ABOUT]
    return _beginning(incomplete, (f"{name}." if name in _BLOCKS else f"{name}=" for name in own))


def _of_block(block: str) -> list[str]:
    """Fields of a block, of each kind that it may be of, once."""
    from tscale.blocks.kinds import FEED_FORWARDS, MIXERS, POSITIONS
    from tscale.blocks.norm import Norm
    from tscale.models.spec import Embedding, Head

    single = {"norm": Norm, "embedding": Embedding, "head": Head}
    if block in single:
        return [field.name for field in fields(single[block])]
    kinds = {"attention": MIXERS, "feed_forward": FEED_FORWARDS, "positions": POSITIONS}[block]
    return list(dict.fromkeys(field.name for kind in kinds for field in fields(kinds[kind])))


_OF_HARDWARE: Final = frozenset(
    {"name", "title", "aliases", "reports_as", "source", "evidence", "notes", "dense_tflops"}
)


def hardware_fields(incomplete: str) -> list[str]:
    """Fields of hardware as --gpu-set takes them, `memory_gb=`, and its peaks, `bf16=`."""
    from tscale.catalogue.hardware import Hardware, Peaks

    own = [field.name for field in fields(Hardware) if field.name not in _OF_HARDWARE]
    return _beginning(incomplete, (f"{name}=" for name in [*own, *(field.name for field in fields(Peaks))]))
