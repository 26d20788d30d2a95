"""From a Hugging Face `config.json` to a spec: exact, or refused.

What the file does not say stands in one row a family in `configs/families`. A key that no row reads is known to be
harmless, or empty, or none that the family's classes read, and then it is named; or it is the reason for a refusal: it may
change a count in a way that is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

from tscale.blocks import Attention, FeedForward, Mixer, Mlp, Positions
from tscale.blocks.attention import Projection
from tscale.blocks.fields import dotted, out_of_range
from tscale.errors import RequestError, SpecError, called, field, nearest, shown
from tscale.importer.classes import class_note, family_of_class, head_of, is_decoder_alone, is_encoder_alone
from tscale.importer.config_keys import Config, is_size
from tscale.importer.drafts import refuse_draft
from tscale.importer.experts import dealt_out
from tscale.importer.families import ALSO, FAMILIES, NESTED, NOT_YET
from tscale.importer.family import Routed
from tscale.importer.known_keys import read_by, release, unread_note
from tscale.importer.layer_lists import AttentionMask
from tscale.importer.llava import is_original, joined, parted
from tscale.importer.other_files import what_it_is
from tscale.importer.paired import one_set
from tscale.importer.rules import heads
from tscale.importer.shapes import alike
from tscale.importer.whole_files import OF_BOTH, Text, text_config, thinker, with_towers
from tscale.models.spec import MOST_ASSUMED, Encoder, Head, ModelSpec, Stage, Training
from tscale.models.weights_spec import AssumedFamily

if TYPE_CHECKING:
    from tscale.importer.formats.format import Format

T = TypeVar("T")


def imported(
    config: dict[str, object], *, name: str, where: str, assume: str | None = None, strict: bool = False
) -> ModelSpec:
    """The spec that a `config.json` describes. Raises `SpecError` for whatever would make it less than exact.

    A key that the family's classes do not read cannot change the answer: the spec's notes name it, or it is refused too
    where that is asked for by `strict`.
    `assume`: the family that a file of an unknown one counts like, on the user's word, which the spec's notes repeat.
    """
    config, spoken = thinker(one_set(_inner(config)))
    other = _other_format(config)
    if assume is not None:
        if other is not None:
            raise RequestError(f"{where} is {other.title}, which is known: drop {field('assume')}")
        return _assumed(config, assume, name, where)
    if other is not None:
        return _of_format(config, other, name, where)
    if is_original(config):
        return _of_llava(config, name, where, strict)
    refuse_draft(config, where)
    family_name, file, text = _model_type(config, where), config, Text(config)
    nested = family_name in NESTED  # such files leave sizes of their text models to the class as they are published
    if nested:
        text = text_config(config, family_name, NESTED[family_name], where, strict)
        family_name = str(text.config["model_type"])
    read = Config(text.config, family_name, FAMILIES[family_name], where, None if strict else read_by(family_name))
    passed_over, spec = read.passed_over(), _spec(read, name)
    whole = with_towers(spec, file, text, read.size, where)
    unread = unread_note((*text.unread, *passed_over, *whole.unread), own_code=_own_code(file))
    notes = (
        spoken
        + whole.notes
        + _named_otherwise(file)
        + class_note(read)
        + unread
        + (() if nested else _default_sizes(read))
        + _notes(read)
    )
    spec = replace(whole.spec, notes=notes)
    spec = replace(spec, training=_pre_training(text.config, spec.context))
    return _checked(_with_release(_in_range(spec, where), file, family_name, where), where)


def _inner(config: dict[str, object]) -> dict[str, object]:
    """What of a file is about the model: of that of a TensorRT-LLM engine, one object in it."""
    inner = config.get("pretrained_config")
    return inner if isinstance(inner, dict) and "build_config" in config else config


def _other_format(config: Mapping[str, object]) -> Format | None:
    """The format of a file of another program; None where a model_type says its family."""
    said = config.get("model_type")
    known = isinstance(said, str) and (said in FAMILIES or said in NESTED or said in ALSO)
    if known and ("dim" not in config or "hidden_size" in config):  # Mistral's Mamba says mamba
        return None
    from tscale.importer.formats import format_of

    return format_of(config)


def _of_format(config: dict[str, object], other: Format, name: str, where: str) -> ModelSpec:
    """The spec that a file of another program describes: by a row of its own, or as the config.json that says the same."""
    note = f"Read as {other.title}."
    if other.translated is not None:
        from tscale.importer.formats import translated

        same = translated(config, other, where)
        spec = imported(same, name=name, where=where, strict=True)
        says_context = FAMILIES[str(same["model_type"])].keys.context in same
        return replace(spec, notes=(note, *spec.notes), context=spec.context if says_context else None)
    read = Config(config, other.title, other.row, where)
    read.passed_over()
    return _in_range(replace(_spec(read, name), notes=(note, *_notes(read))), where)


def _of_llava(config: dict[str, object], name: str, where: str, strict: bool) -> ModelSpec:
    """The spec that a file of LLaVA's own code describes: transformers' model of the same parts, and its own projector."""
    same, notes = parted(config, where)
    spec = joined(imported(same, name=name, where=where, strict=strict), config, where)
    return _in_range(replace(spec, notes=(*notes, *spec.notes)), where)


def _named_otherwise(file: Mapping[str, object]) -> tuple[str, ...]:
    """What is said of a model type that is read as another."""
    named = str(file.get("model_type"))
    if named not in ALSO:
        return ()
    return (f"model_type {named} is read as {ALSO[named]}, as {release()} does; the repository's own code may differ.",)


def _default_sizes(read: Config) -> tuple[str, ...]:
    """Which of the sizes that make a model what it is were not in the file, and what its class takes for them."""
    taken = [f"{key} {shown(read.taken[key])}" for key in read.missing_sizes() if key in read.taken]
    return (f"Not in the file, taken from the defaults of its class: {', '.join(taken)}.",) if taken else ()


def _own_code(file: Mapping[str, object]) -> str | None:
    """The key that says that a repository has code of its own; None where none does."""
    text = file.get("text_config")
    places = (file, text if isinstance(text, dict) else {})
    return "auto_map" if any(place.get("auto_map") for place in places) else None


def _pre_training(config: Mapping[str, object], context: int | None) -> Training | None:
    """The length of pre-training that a file of an extended context states beside it; None where it states none.

    A length beyond what is assumed at most is no sign of it: contexts of that length were extended too.
    """
    inner = (config.get(key) for key in ("rope_scaling", "rope_parameters"))
    for holder in (config, *(found for found in inner if isinstance(found, dict))):
        for key in ("original_max_position_embeddings", "initial_context_length"):
            length = holder.get(key)
            if is_size(length) and isinstance(length, int) and length <= min(MOST_ASSUMED, context or MOST_ASSUMED):
                return Training(stages=(Stage(context=length, source=f"config.json, {key}", evidence="derived"),))
    return None


def _states_of(file: Mapping[str, object], spec: ModelSpec, where: str) -> Literal["fp32", "bf16", "fp16"] | None:
    """What recurrent states are kept in; None of a model that has none, where such a key changes nothing."""
    from tscale.importer.quantization import states_of

    return states_of(file, where) if any(mixer.kind not in _WITHOUT_STATES for mixer in spec.mixers) else None


_WITHOUT_STATES: Final = frozenset(
    {"multi-head", "latent", "indexed", "compressed", "image-layer", "expert-attention", "bottleneck", "augmented"}
)
_FUSED: Final = frozenset({"bloom", "dbrx", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "modernbert", "mpt", "phi3"})
"""Families whose checkpoints hold queries, keys and values in one matrix, in GGUF files too."""


def _with_release(spec: ModelSpec, file: Mapping[str, object], family: str, where: str) -> ModelSpec:
    """A spec with the formats that its file says its weights and its recurrent states are in."""
    from tscale.importer.quantization import release_of

    spec = replace(spec, weights=release_of(file, spec, family, where), states=_states_of(file, spec, where))
    if family not in _FUSED or not isinstance(spec.attention, Attention):
        return spec
    return replace(spec, attention=replace(spec.attention, fused=True))


def _in_range(spec: ModelSpec, where: str) -> ModelSpec:
    """A spec whose sizes are each what a file may say: a product of two that are can be past it."""
    for path, message in out_of_range(spec):
        raise SpecError(f"{dotted(path)}: {message}", where=where)
    return _checked(spec, where)


def _checked(spec: ModelSpec, where: str) -> ModelSpec:
    for path, message in spec.problems():
        raise SpecError(f"{dotted(path)}: {message}", where=where)
    return spec


def _assumed(config: dict[str, object], family_name: str, name: str, where: str) -> ModelSpec:
    """The spec of a file whose family is not known, read as one that is; the notes say what was not read."""
    if family_name in NESTED:
        texts = ", ".join(NESTED[family_name].text)
        raise RequestError(
            f"{field('assume', shown(family_name))} reads more than text, and a file is counted only like a text model: name the "
            f"family of its text model ({texts})"
        )
    if family_name not in FAMILIES:
        raise RequestError(
            f"{field('assume', shown(family_name))} is not a known family: {nearest(family_name, FAMILIES)}"
        )
    own = config.get("model_type")
    if isinstance(own, str) and (own in FAMILIES or own in NESTED or own in ALSO):
        raise RequestError(f"{where} says model_type {shown(own)}, which is known: drop {field('assume')}")
    read, unread = _read_as(config, family_name, where)
    title = f"{name}, counted like {family_name}"
    spec = replace(_spec(read, name), title=title, notes=_notes(read))
    spec = replace(spec, training=_pre_training(config, spec.context))
    like = AssumedFamily(
        family=family_name,
        model_type=own if isinstance(own, str) and own.isprintable() and own.strip() else None,
        defaults=tuple(f"{key} {'(derived)' if value is None else shown(value)}" for key, value in read.taken.items()),
        unread=tuple(called(key, 80) for key in unread if key.strip()),
    )
    return _checked(_with_release(_in_range(replace(spec, assumed=like), where), config, family_name, where), where)


def _read_as(config: dict[str, object], family_name: str, where: str) -> tuple[Config, list[str]]:
    """The keys of a file, or of the text model in it, as those of a family; and which of them are not read."""
    family, outer = FAMILIES[family_name], list[str]()
    text = config.get("text_config")
    if isinstance(text, dict) and not Config(text, family_name, family, where).missing_sizes():
        whole = Config(
            {key: value for key, value in config.items() if key != "text_config"}, family_name, family, where
        )
        outer = [key for key in whole.left_aside() if key not in text]
        both = {key: config[key] for key in OF_BOTH if key in config}
    else:
        text, both = config, {}
    named = {"architectures": _like_named(config, family.classes, where, inner=text is not config)}
    read = Config(both | text | named, family_name, family, where)
    unread = outer + read.left_aside()
    read.refuse_other_sizes(unread)
    return read, unread


def _like_named(
    config: Mapping[str, object], classes: Mapping[str, Head], where: str, *, inner: bool
) -> list[str] | None:
    """The class of the assumed family that is named like the file's own: both `...ForCausalLM`, or both a bare model.

    `inner`: the model that is read stands inside of the one that the file names, whose class need not be like any of the family's.
    """
    named = config.get("architectures")
    if not isinstance(named, list) or not named:
        return None
    ending = re.search(r"(LMHead)?(For[A-Z]\w*|Model)$", str(named[0]))
    known = [name for name in classes if ending is not None and name.endswith(ending[0])]
    if not known and inner:
        return None
    if not known:
        raise SpecError(
            f"architectures: none of {', '.join(classes)} is named like {shown(named[0])}: drop it, or name one of them",
            where=where,
        )
    return known[:1]


def _of_class(config: Mapping[str, object]) -> str:
    """The family that has the class which a file names, in brackets; nothing where none has."""
    listed = config.get("architectures")
    named = str(listed[0]) if isinstance(listed, list) and listed else ""
    family = family_of_class(named)
    return "" if family is None else f" ({called(named, 80)} is of {family})"


def _model_type(config: Mapping[str, object], where: str) -> str:
    value = config.get("model_type")
    if value is None:
        other = what_it_is(config)
        raise SpecError(
            other or f'no "model_type": add it, because it names the family of the file{_of_class(config)}', where=where
        )
    if not isinstance(value, str):
        raise SpecError(f"model_type must be text, not {shown(value)}", where=where)
    if value in NOT_YET:
        why = f"{NOT_YET[value]} ({field('assume', 'FAMILY')} counts it as one of a known family all the same)"
        raise SpecError(f"model_type {shown(value)} is not known yet: {why}", where=where)
    if value in ALSO:
        return ALSO[value]
    if value not in FAMILIES and value not in NESTED:
        raise SpecError(f"model_type {shown(value)} is not known: {_like(config)}", where=where)
    return value


def _like(config: Mapping[str, object]) -> str:
    """What may be done about a file of an unknown family: which known ones have its keys."""
    text = config.get("text_config")
    inner = text.get("model_type") if isinstance(text, dict) else None
    assume, own = field("assume", "FAMILY"), field("families", "FILE")
    if isinstance(inner, str) and inner in FAMILIES:
        return f"its text_config is of {inner} ({field('assume', inner)} counts that alone; {own} describes the family)"
    found = alike(config)
    like = f"its keys are most like those of {' or '.join(found)}" if found else "no known family has its keys"
    return f"{like} ({assume} counts it as one of a known family; {own} describes it)"


def _notes(config: Config) -> tuple[str, ...]:
    return () if config.family.notes is None else config.family.notes(config)


def _spec(config: Config, name: str) -> ModelSpec:
    family, keys = config.family, config.keys
    head = head_of(config)
    positions: Positions = family.positions(config) if callable(family.positions) else family.positions
    spec = ModelSpec(
        name=name,
        kind=family.kind,
        layers=config.size(keys.layers) if family.layers is None else family.layers(config),
        unique_layers=None if family.unique_layers is None else family.unique_layers(config),
        d_model=config.size(keys.d_model),
        vocabulary=config.size(keys.vocabulary),
        context=_context(config),
        tied=_tied(config) if head.kind in ("language-model", "masked") else None,
        attention=_attention(config) if family.attention is None else family.attention(config),
        feed_forward=_feed_forward(config) if family.feed_forward is None else family.feed_forward(config),
        positions=positions,
        norm=_settled(family.norm, config),
        embedding=_settled(family.embedding, config),
        layer_input=None if family.layer_input is None else family.layer_input(config),
        streams=None if family.streams is None else family.streams(config),
        head=head,
        encoder=None if family.encoder is None else family.encoder(config),
    )
    if is_decoder_alone(config):
        return replace(spec, kind="decoder", encoder=None, idle_cross_attention=True)
    return _encoder_alone(spec) if is_encoder_alone(config) else spec


def _encoder_alone(spec: ModelSpec) -> ModelSpec:
    """The encoder of a model of two stacks as a model of its own."""
    own = spec.encoder or Encoder()
    return replace(
        spec,
        kind="encoder",
        layers=spec.encoder_layers(),
        attention=own.attention or spec.attention,
        feed_forward=own.feed_forward or spec.feed_forward,
        encoder=None,
        streams=None,
        tied=None,
    )


def _attention(config: Config) -> Mixer:
    family = config.family
    mask = AttentionMask() if family.window is None else family.window(config)
    qk_norm = family.qk_norm if family.qk_norm_if is None or config.flag(family.qk_norm_if) else None
    biased = "".join(letters for letters, said in family.biases.items() if _said(said, config))
    projections = cast("tuple[Projection, ...]", tuple(biased))
    return Attention(
        heads=config.size(config.keys.heads),
        kv_heads=(family.kv_heads or heads.kv_heads)(config),
        head_dim=(family.head_dim or heads.head_dim)(config),
        bias=True if len(projections) == 4 else projections or False,
        qk_norm=qk_norm,
        qk_norm_bias=family.qk_norm_bias and qk_norm is not None,
        gated=family.gated_heads,
        gate_bias=family.gate_bias,
        out_norm=family.out_norm,
        differential=family.differential,
        sinks=family.sinks,
        global_projections=family.global_projections,
        window=mask.window,
        chunked=mask.chunked and mask.window is not None,
        pattern=mask.pattern,
    )


def _feed_forward(config: Config) -> Mlp | tuple[Mlp, ...]:
    family, key = config.family, config.keys.d_ff
    d_ff = None if key is None else config.optional(key)
    dense = FeedForward(
        d_ff=4 * config.size(config.keys.d_model) if d_ff is None else d_ff,
        gated=_settled(family.gated, config),
        bias=_said(family.d_ff_bias, config),
        out_bias=family.d_ff_out_bias,
        inner_norm=family.inner_norm,
        scalars=family.scalars,
    )
    match family.experts:
        case None:
            return dense
        case Routed():
            return dealt_out(config, dense, family.experts)
        case own:
            return own(config, dense)


def _context(config: Config) -> int | None:
    key = config.keys.context
    rows = None if key is None else config.optional(key)
    return None if rows is None or rows <= config.family.unread_rows else rows - config.family.unread_rows


def _tied(config: Config) -> bool:
    return not config.reads("tie_word_embeddings") or config.flag("tie_word_embeddings")


def _said(column: bool | str, config: Config) -> bool:
    return column if isinstance(column, bool) else config.flag(column)


def _settled(column: T | Callable[[Config], T], config: Config) -> T:
    return column(config) if callable(column) else column
