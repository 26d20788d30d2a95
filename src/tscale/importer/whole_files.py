"""Files that describe more than a text model: where that stands in them, how its head is tied, and what else they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tscale.errors import SpecError, called, shown
from tscale.importer.classes import plain
from tscale.importer.config_keys import unknown
from tscale.importer.harmless import is_harmless
from tscale.importer.known_keys import read_by, release
from tscale.importer.nested import Nested
from tscale.models.spec import Head

if TYPE_CHECKING:
    from tscale.models.spec import ModelSpec

OF_BOTH: Final = frozenset({"architectures", "tie_word_embeddings"})


class Text(NamedTuple):
    """The text model of a file, the notes on it, and its keys outside that nothing reads.

    `whole`: the family of a file that describes more than a text model; `left_out`: what is said where that is not counted.
    """

    config: Mapping[str, object]
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    whole: str | None = None
    left_out: str = ""


class Whole(NamedTuple):
    """A spec with its towers, the notes on it, and the keys of its towers that their classes do not have."""

    spec: ModelSpec
    notes: tuple[str, ...]
    unread: tuple[str, ...] = ()


def with_towers(
    spec: ModelSpec, file: Mapping[str, object], text: Text, text_size: Callable[[str], int], where: str
) -> Whole:
    """The text model with the towers that its file describes; alone, and said to be, where one of them is not known."""
    if text.whole is None:
        return Whole(spec, text.notes)
    from tscale.importer.towers import towers_of

    found = towers_of(file, text.whole, text_size, spec.d_model, where)
    if found is None:
        return Whole(spec, (text.left_out, *text.notes))
    notes = text.notes
    if found.absent:
        notes += (
            f"Not in the file: {', '.join(found.absent)}: its towers have the sizes that their class takes by default.",
        )
    return Whole(replace(spec, towers=found.towers or None), notes, found.unread)


def text_config(config: Mapping[str, object], name: str, nested: Nested, where: str, strict: bool) -> Text:
    """The text model of a file that describes more, tied as the whole says."""
    config, text, ignored = _parted(config, name, nested, where)
    inner = _inner_type(text, name, nested, where)
    unread = _outside(config, text, name, nested, where, strict)
    of_class = _class_note(config, name, nested, where, strict)
    cls = _base_of(config, nested, str(inner))
    tied, said = _tied_whole(config, text, name, str(inner), nested, where) if cls is None else (False, ())
    own = {key: value for key, value in text.items() if key not in nested.inside}
    own |= _mirrored(config, nested)
    merged = {**nested.defaults, **own, "model_type": inner, "architectures": cls, "tie_word_embeddings": tied}
    return Text(merged, (*of_class, *said, *ignored), unread, name, nested.said)


def _parted(
    config: Mapping[str, object], name: str, nested: Nested, where: str
) -> tuple[Mapping[str, object], dict[str, object], tuple[str, ...]]:
    """A file's whole, its text model, and notes on what is passed over. Raises `SpecError` where it has no text model."""
    text = config.get("text_config")
    ignored: tuple[str, ...] = ()
    if nested.unread_flat and text is None:
        config, ignored = _without_flat(config, name, nested, where)
        text = {}
    if nested.flat and text is None:
        text = {key: value for key, value in config.items() if key not in nested.beside and key != "model_type"}
        config = {key: value for key, value in config.items() if key not in text or key in OF_BOTH}
    if text is None:
        raise SpecError(f'no "text_config": {name} needs it, with the sizes of its text model', where=where)
    if not isinstance(text, dict):
        raise SpecError(f"text_config must be an object, not {shown(text)}", where=where)
    return config, text, ignored


def _mirrored(config: Mapping[str, object], nested: Nested) -> dict[str, object]:
    """The keys of a text model that are another configuration's, as that says them."""
    found: dict[str, object] = {}
    for key, path in nested.mirrors.items():
        section, _, name = path.partition(".")
        other = config.get(section)
        if isinstance(other, dict) and name in other:
            found[key] = other[name]
    return found


def _inner_type(text: Mapping[str, object], name: str, nested: Nested, where: str) -> object:
    """The family of a text model inside a whole. Raises `SpecError` for one that is not known there."""
    inner = text.get("model_type", nested.texts[0])
    inner = nested.named.get(inner, inner) if isinstance(inner, str) else inner
    if inner not in nested.texts:
        raise SpecError(f"text_config.model_type {shown(inner)} is not known for {name}: only "
                        f"{' and '.join(nested.texts)}", where=where)  # fmt: skip
    return inner


def _without_flat(
    config: Mapping[str, object], name: str, nested: Nested, where: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    """A file without the sizes that stand where its class reads none of them, and what is said of those it takes otherwise.

    Raises `SpecError` where they tell of another depth, width or kind of layer than the class builds: its count would be of no use.
    """
    from tscale.importer.families import FAMILIES

    family = FAMILIES[nested.texts[0]]
    keys = {family.aliases.get(key, key): key for key in config if key not in nested.beside}
    read = {key: said for key, said in keys.items() if key in family.reads}
    others = {said: family.reads[key] for key, said in read.items() if config[said] not in (None, family.reads[key])}
    light = {family.keys.vocabulary, family.keys.context, "sliding_window", "layer_types", "num_nextn_predict_layers"}
    for key in sorted(said for key, said in read.items() if said in others and key not in light):
        raise SpecError(f"{key} stands outside of text_config, where the class of {name} does not read it: put the sizes of the text "
                        "model into text_config", where=where)  # fmt: skip
    dropped = {*read.values(), *family.harmless, *family.fixed}
    kept = {key: value for key, value in config.items() if key not in dropped}
    return kept, _told_of_flat(others) if read else ()


def _told_of_flat(others: Mapping[str, object]) -> tuple[str, ...]:
    """What is said of a file whose class reads no size of it; `others`: what it takes in place of what the file says."""
    taken = ", ".join(f"{called(key, 40)} {shown(value)}" for key, value in others.items() if value is not None)
    more = f" It takes {taken}, whatever the file says." if taken else ""
    return (f"Without text_config, {release()} builds the text model in sizes of its own, and reads none that stand beside: "
                  f"what the file says of layer_types, windows and the vocabulary changes nothing there.{more}",)  # fmt: skip


def _outside(
    config: Mapping[str, object], text: Mapping[str, object], name: str, nested: Nested, where: str, strict: bool
) -> tuple[str, ...]:
    """The keys beside the text model that nothing reads. Raises `SpecError` for one that may change a count."""
    may_matter, unread = None if strict else read_by(name), list[str]()
    for key, value in config.items():
        repeats = key in text and text[key] == value
        if not value or repeats or key in nested.beside or is_harmless(key):
            continue
        if may_matter is None or key in may_matter:
            raise unknown(key, value, name, where)
        unread.append(key)
    return tuple(unread)


def _class_note(config: Mapping[str, object], name: str, nested: Nested, where: str, strict: bool) -> tuple[str, ...]:
    """What is said of a class that is counted as the family's, which has the same ending; refuses any other."""
    named = config.get("architectures")
    if named in (None, []):
        return ()
    cls = named[0] if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str) else ""
    if plain(cls) in map(plain, nested.classes) or _base_of(config, nested, nested.texts[0]):
        return ()
    if not strict and cls.endswith(_GENERATES):
        return (f"architectures: {called(cls, 80)} is counted as {nested.classes[0]}, which has the same head.",)
    raise SpecError(f"architectures: {shown(cls or named)} is not known for {name}: only "
                    f"{' and '.join(nested.classes)}", where=where)  # fmt: skip


_GENERATES: Final = "ForConditionalGeneration"


def _is_base(config: Mapping[str, object], nested: Nested) -> bool:
    """Whether a file names the class of the whole without a head, as the release calls it."""
    bases = [f"{cls.removesuffix(_GENERATES)}Model" for cls in nested.classes if cls.endswith(_GENERATES)]
    return any(config.get("architectures") == [base] for base in bases)


def _base_of(config: Mapping[str, object], nested: Nested, family: str) -> list[str] | None:
    """The class of a text model where a file names the whole without a head; None where it has one."""
    return _headless(family) if _is_base(config, nested) else None


def _headless(family: str) -> list[str] | None:
    """The class of a family of text that has no head; None where it has several, or none."""
    from tscale.importer.families import FAMILIES

    bare = Head(kind="none")
    found = [name for name, head in FAMILIES[family].classes.items() if head == bare and name.endswith("Model")]
    return found if len(found) == 1 else None


def _tied_whole(
    config: Mapping[str, object], text: Mapping[str, object], name: str, inner: str, nested: Nested, where: str
) -> tuple[bool, tuple[str, ...]]:
    """Whether the head of a text model inside a whole is tied, and what is said of it. Raises `SpecError`."""
    said, outer = text.get(_TIED), config.get(_TIED)
    if nested.retied is False:
        return nested.tied, ()
    for value in (outer, said):
        if not isinstance(value, bool | None):
            raise SpecError(f"{_TIED} must be true or false, not {shown(value)}", where=where)
    if nested.retied == "both":
        return _tied_together(outer, said, name, nested, where), ()
    tied = _ties(outer, said, inner, nested)
    how = "tied" if tied else "not tied"
    if outer is None and (nested.unsaid or said not in (None, tied)):
        return tied, (
            f"{_TIED} is not said next to text_config: {how}, as {release()} takes it; releases before 5 took text_config's.",
        )
    if None not in (outer, said) and outer != said:
        return tied, (
            f"{_TIED} ({shown(outer)}) and text_config.{_TIED} ({shown(said)}) differ: {how}, as {release()} takes it; releases "
            "before 5 took text_config's.",
        )
    return tied, ()


_TIED: Final = "tie_word_embeddings"


def _tied_together(outer: object, said: object, name: str, nested: Nested, where: str) -> bool:
    """Whether head and tables are tied, which the whole and the text model say alike. Raises `SpecError` where they do not."""
    of_whole, of_text = (nested.tied if value is None else bool(value) for value in (outer, said))
    if of_whole != of_text:
        raise SpecError(f"{_TIED} ({shown(of_whole)}) and text_config.{_TIED} ({shown(of_text)}) differ: {name} is known where both "
                        "are the same", where=where)  # fmt: skip
    return of_whole


def _ties(outer: object, said: object, inner: str, nested: Nested) -> bool:
    """Whether a class ties the head, by what the file says of the whole and of the text model of a family."""
    from tscale.importer.families import FAMILIES

    usual = nested.defaults.get(_TIED, FAMILIES[inner].reads.get(_TIED))
    of_text = bool(usual if said is None else said)
    of_whole = nested.tied if outer is None else bool(outer)
    match nested.ties:
        case "whole":
            return of_whole
        case "text":
            return of_text
        case "either":
            return of_whole or of_text
        case "first":
            return of_text if outer is None else of_whole


_SPEAKS: Final = {"qwen2_5_omni": "token2wav_config", "qwen3_omni_moe": "code2wav_config"}


def thinker(config: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Of a model that speaks, the part that reads and thinks, and what is said of the rest; any other file as it is."""
    kind, inner = config.get("model_type"), config.get("thinker_config")
    if not isinstance(kind, str) or kind not in _SPEAKS or not isinstance(inner, dict):
        return config, ()
    named = {"model_type": f"{kind}_thinker", "architectures": None}
    left_out = (
        f"Left out: what speaks (talker_config, {_SPEAKS[kind]}): the thinker alone, with its towers, is counted."
    )
    return {**inner, **named}, (left_out,)
