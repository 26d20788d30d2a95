"""Which head a file's class has: `architectures` names a class of its family, or one that a repository derived from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tscale.errors import called, nearest, shown
from tscale.importer.config_keys import Config
from tscale.models.spec import Head


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
    """The head of the family's class that classifies; None where the file names another.

    A decoder's is one matrix, without a bias where it is about a sequence; an encoder's stands on a pooler, or on a layer of the
    same shape, where it is about a sequence; that of both stacks stands on such a layer too.
    """
    named, classes = config.architectures(), config.family.classes
    ending = str(named).removeprefix(_prefix(config)).removeprefix("Text")
    if named in _OF_THEIR_OWN:
        raise config.wrong(f"architectures: {named} is not known yet: its head is unlike those of other families")
    if named is None or named in classes or ending not in _CLASSIFIERS:
        return None
    usual = next(iter(classes.values()))
    return _CLASSIFIERS[ending](config, usual)


def _of_sequence(config: Config, usual: Head) -> Head:
    """One answer for a sequence; a reward where there is one label."""
    for key in ("summary_use_proj", "summary_proj_to_labels"):
        if config.says(key) is False and (key == "summary_use_proj" or config.reads(key)):
            raise config.wrong(f"{key}: false is not known yet with a classifier")
    summarised = config.reads("summary_proj_to_labels")  # by the classifier itself, without a layer before it
    pooled = config.family.kind != "decoder" and usual.transform != "plain" and not summarised
    return _classes(config, usual, pooler=pooled, biased=config.family.kind != "decoder", per_token=False)


def _of_tokens(config: Config, usual: Head) -> Head:
    """One answer for every token."""
    return _classes(config, usual, pooler=False, biased=True, per_token=True)


def _of_spans(config: Config, usual: Head) -> Head:
    """Where an answer begins and ends: two numbers for every token."""
    if config.labels() != _ENDS:
        raise config.wrong(f"num_labels: {config.labels():,} is not known yet for question answering: only {_ENDS} is")
    return _of_tokens(config, usual)


def _of_choices(config: Config, usual: Head) -> Head:
    """One number for each of several continuations."""
    return replace(_of_sequence(config, usual), classes=1)


def _of_next(config: Config, usual: Head) -> Head:
    """Whether one sentence follows another."""
    return replace(_of_sequence(config, usual), classes=_ENDS)


def _classes(config: Config, usual: Head, *, pooler: bool, biased: bool, per_token: bool) -> Head:
    return Head(
        kind="none",
        pooler=pooler,
        transform="plain" if usual.transform == "plain" else "biased",
        contacts=usual.contacts,
        classes=config.labels(),
        classes_bias=biased,
        per_token=per_token,
    )


_OF_THEIR_OWN: Final = frozenset({
    "BigBirdPegasusForCausalLM",
    "FlaubertForMultipleChoice", "FlaubertForQuestionAnswering", "T5GemmaForSequenceClassification",
    "T5GemmaForTokenClassification", "TapasForQuestionAnswering", "XLMForMultipleChoice", "XLMForQuestionAnswering",
    "XLNetForQuestionAnswering",
})  # fmt: skip
_ENDS: Final = 2
_CLASSIFIERS: Final[Mapping[str, Callable[[Config, Head], Head]]] = {
    "ForSequenceClassification": _of_sequence,
    "ForTokenClassification": _of_tokens,
    "ForQuestionAnswering": _of_spans,
    "ForQuestionAnsweringSimple": _of_spans,
    "ForMultipleChoice": _of_choices,
    "ForNextSentencePrediction": _of_next,
}
"""Heads that stand on any body, by the ending of their class's name."""


def _prefix(config: Config) -> str:
    """What the names of a family's classes begin with."""
    return _ENDING.sub("", next(iter(config.family.classes))).removesuffix("With")


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
    if _reads_leftward(config):
        return f"{_prefix(config)}ForMaskedLM"
    if is_decoder_alone(config):
        return next(iter(classes))
    ending = _ENDING.search(named)
    if not config.is_strict and ending is not None and not named.startswith(_prefix(config)):
        for known in classes:
            found = _ENDING.search(known)
            if found is not None and _CAUSAL.get(found[0], found[0]) == _CAUSAL.get(ending[0], ending[0]):
                return known
    raise config.wrong(
        f"architectures: {shown(named)} is not known for {config.family_name}: {nearest(named, classes)}"
    )


def family_of_class(named: str) -> str | None:
    """The family that has a class of this name; None where none has, or several have."""
    from tscale.importer.families import FAMILIES, NESTED

    own = [name for rows in (FAMILIES, NESTED) for name, row in rows.items() if named in row.classes]
    return own[0] if len(own) == 1 else None


def _reads_leftward(config: Config) -> bool:
    """Whether the file names a family of encoders' class that decodes: with the head of that for masked words."""
    named, prefix = config.architectures(), _prefix(config)
    decodes = named in (f"{prefix}ForCausalLM", f"{prefix}LMHeadModel")
    return decodes and config.family.kind == "encoder" and f"{prefix}ForMaskedLM" in config.family.classes


_ENDING: Final = re.compile(r"(LMHead|MT)?Model$|For[A-Z]\w*$")
_CAUSAL: Final = {"LMHeadModel": "ForCausalLM"}
"""Endings that mean the same head."""


def is_encoder_alone(config: Config) -> bool:
    """Whether the class of a family of two stacks has the encoder alone: one that is called so, and classifiers of tokens."""
    named = config.architectures() or ""
    return config.family.kind == "encoder-decoder" and named.endswith(
        ("EncoderModel", "Encoder", "ForTokenClassification")
    )


def is_decoder_alone(config: Config) -> bool:
    """Whether the class of a family of two stacks has the decoder alone, which decodes."""
    alone = (f"{_prefix(config)}ForCausalLM", f"{_prefix(config)}Decoder")
    return config.family.kind == "encoder-decoder" and config.architectures() in alone


def class_note(config: Config) -> tuple[str, ...]:
    """What is said of a class that is counted as another."""
    if _reads_leftward(config):
        masked = f"{_prefix(config)}ForMaskedLM"
        return (f"architectures: {config.architectures()} has the parameters of {masked}, and is counted as that: its attention as "
                "if it saw both ways, and no cache.",)  # fmt: skip
    if is_decoder_alone(config):
        return ()
    named, known = config.architectures(), None if _classifier(config) else _class_of(config)
    if named is None or known is None or plain(named) == plain(known):
        return ()
    other = family_of_class(str(named))
    if other is not None and other != config.family.name:
        return (f"architectures: {called(named, 80)} is a class of {other}. It is counted as {known}, as model_type says, by which transformers "
                "goes: software that goes by architectures builds another model.",)  # fmt: skip
    return (f"architectures: {called(named, 80)} is counted as {known}, which has the same head.",)
