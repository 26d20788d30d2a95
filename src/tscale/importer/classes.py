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
    classifier = _classifier(config)
    if classifier is not None:
        return classifier
    classes = config.family.classes
    head = classes[_class_of(config) or next(iter(classes))]
    own = head if config.family.head is None else config.family.head(config, head)
    biased = config.family.head_bias is not None and head.kind != "none" and config.flag(config.family.head_bias)
    return replace(own, bias=True) if biased else own


def _classifier(config: Config) -> Head | None:
    """The head of the family's class that classifies sequences or tokens; None where the file names another.

    A decoder's is one matrix, without a bias where it is about a sequence; an encoder's stands on a pooler, or on a layer of the
    same shape, where it is about a sequence.
    """
    named, kind, classes = config.architectures(), config.family.kind, config.family.classes
    about = _CLASSIFIERS.get(str(named).removeprefix(_prefix(config)).removeprefix("Text"))
    usual = next(iter(classes.values()))
    if named is None or named in classes or about is None or kind == "encoder-decoder" or usual.transform == "plain":
        return None
    if kind == "encoder" and config.says("summary_use_proj") is False:
        raise config.wrong("summary_use_proj: false is not known yet with a classifier")
    tokens = about == "tokens"
    return Head(
        kind="none",
        pooler=kind == "encoder" and not tokens,
        contacts=usual.contacts,
        classes=config.labels(),
        classes_bias=kind == "encoder" or tokens,
        per_token=tokens,
    )


_CLASSIFIERS: Final = {"ForSequenceClassification": "a sequence", "ForTokenClassification": "tokens"}


def _prefix(config: Config) -> str:
    """What the names of a family's classes begin with."""
    return _ENDING.sub("", next(iter(config.family.classes)))


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
    ending = _ENDING.search(named)
    if not config.is_strict and ending is not None and not named.startswith(_prefix(config)):
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
    named, known = config.architectures(), None if _classifier(config) else _class_of(config)
    if named is None or known is None or plain(named) == plain(known):
        return ()
    return (f"architectures: {called(named, 80)} is counted as {known}, which has the same head.",)
