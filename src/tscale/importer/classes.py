"""Which head a file's class has: `architectures` names a class of its family, or one that a repository derived from it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tscale.errors import called, nearest, shown
from tscale.models.spec import Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


def plain(cls: str) -> str:
    """The name of a class as it is told from others: repositories write `KimiK25` where a release has `Kimi_K25`."""
    return cls.replace("_", "").lower()


def head_of(config: Config) -> Head:
    """The head of the class that `architectures` names; of the family's usual class where it names none."""
    classes = config.family.classes
    head = classes[_class_of(config) or next(iter(classes))]
    own = head if config.family.head is None else config.family.head(config, head)
    biased = config.family.head_bias is not None and head.kind != "none" and config.flag(config.family.head_bias)
    return replace(own, bias=True) if biased else own


def _class_of(config: Config) -> str | None:
    """The class of the family that the file names, or one of another name and the same ending; None where it names none.

    Repositories derive classes and give them names of their own: another ending is another head, and so is another
    class of the family's own name.
    """
    classes, named = config.family.classes, config.architectures()
    if named is None:
        return None
    for known in classes:
        if plain(known) == plain(named):
            return known
    prefix, ending = _ENDING.sub("", next(iter(classes))), _ENDING.search(named)
    if not config.is_strict and ending is not None and not named.startswith(prefix):
        for known in classes:
            found = _ENDING.search(known)
            if found is not None and _CAUSAL.get(found[0], found[0]) == _CAUSAL.get(ending[0], ending[0]):
                return known
    raise config.wrong(
        f"architectures: {shown(named)} is not known for {config.family_name}: {nearest(named, classes)}"
    )


_ENDING: Final = re.compile(r"(LMHead|MT)?Model$|For[A-Z]\w*$")
_CAUSAL: Final = {"LMHeadModel": "ForCausalLM"}
"""Endings that mean the same head."""


def class_note(config: Config) -> tuple[str, ...]:
    """What is said of a class that is counted as another."""
    named, known = config.architectures(), _class_of(config)
    if named is None or known is None or plain(named) == plain(known):
        return ()
    return (f"architectures: {called(named, 80)} is counted as {known}, which has the same head.",)
