"""From a Hugging Face `config.json` to a spec: exact, or refused.

What the file does not say stands in one row a family in `tscale.importer.families`. A key that no row reads is either known
to be harmless, or empty, or the reason for a refusal: it may change a count in a way that is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, NoReturn, TypeVar, cast

from tscale.blocks import Attention, FeedForward, Mixer, Mlp, Positions
from tscale.blocks.attention import Projection
from tscale.blocks.fields import MOST_SIZE, dotted, out_of_range
from tscale.errors import RequestError, SpecError, called, nearest, shown
from tscale.importer.expert_rules import Routed, dealt_out
from tscale.importer.families import FAMILIES, NEEDED, NESTED, NOT_YET
from tscale.importer.family import Family, Keys, Nested
from tscale.importer.family_rules import AttentionMask
from tscale.models.spec import MOST_ASSUMED, Head, ModelSpec, Stage, Training
from tscale.models.weights_spec import AssumedFamily

T = TypeVar("T")

_HARMLESS: Final = """
    architectures model_type _name_or_path transformers_version auto_map torch_dtype dtype tokenizer_class tokenizer_name
    task_specific_params finetuning_task problem_type id2label label2id num_labels _num_labels prefix license
    quantization_config compression_config quantization quant_config is_llama_config transformers.js_config unsloth_fixed unsloth_version

    use_cache cache_implementation return_dict return_dict_in_generate output_attentions output_hidden_states
    output_scores output_past torchscript use_bfloat16 gradient_checkpointing chunk_size_feed_forward tf_legacy_loss
    _attn_implementation attn_implementation pretraining_tp slow_but_exact attention_softmax_in_fp32
    scale_attention_softmax_in_fp32 reorder_and_upcast_attn masked_softmax_fusion bias_dropout_fusion skip_bias_add
    skip_bias_add_qkv inference_runner max_batch_size max_sequence_length pad_key_length pre_allocate_kv_cache
    validate_runner_input verbose save_step use_flash_attn

    max_length min_length max_new_tokens do_sample num_beams num_beam_groups num_return_sequences early_stopping
    temperature top_k top_p typical_p repetition_penalty length_penalty diversity_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids remove_invalid_values exponential_decay_length_penalty
    force_bos_token_to_be_generated predict_special_tokens

    hidden_act hidden_activation activation activation_function afn dense_act_fn dropout_rate scale_embedding
    scale_attn_weights scale_attn_by_inverse_layer_idx logit_scale logits_scaling embedding_multiplier
    residual_multiplier attention_multiplier query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping
    clip_qkv norm_eps norm_epsilon layer_norm_epsilon layer_norm_eps rms_norm_eps embedding_fraction
    apply_residual_connection_post_layernorm

    partial_rotary_factor original_max_position_embeddings offset_alibi learned_pos_emb n_ctx n_positions seq_length
    output_router_logits router_aux_loss_coef aux_loss_coef aux_loss_alpha seq_aux router_jitter_noise input_jitter_noise
    norm_topk_prob routed_scaling_factor router_scaling_factor n_group topk_group topk_method scoring_func ep_size
    moe_norm_min swiglu_limit swiglu_alpha attn_temperature_tuning attn_scale floor_scale initial_context_length
    enable_moe_fp32_combine embedding_initializer_range scale_emb scale_depth dim_model_base

    relative_attention_max_distance scale_decoder_outputs scalable_attention extra_pos_embeddings directionality tie_weights_
"""
HARMLESS: Final = frozenset(_HARMLESS.split())
"""Keys that change no count in any family that is read here: what the file is, how the model is run, how it writes,
what it does elementwise, and how it reckons positions that own nothing."""

_HARMLESS_LIKE: Final = re.compile(
    r"(.*_)?(dropout|layerdrop|pdrop|dropout_prob|token_id|token_ids)"
    r"|(rope|rotary|init|initializer|summary|pooler|forced|suppress|begin_suppress)_.*|rotary"
)


_LAYER_KEY, _HEAD_KEY = re.compile("layer|depth|block"), re.compile("head")
_WIDTH_KEY, _WORDS_KEY = re.compile("dim|hidden|embd|embed|width|model"), re.compile("vocab|token")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def imported(config: dict[str, object], *, name: str, where: str, assume: str | None = None) -> ModelSpec:
    """The spec that a `config.json` describes. Raises `SpecError` for whatever would make it less than exact.

    `assume`: the family that a file of an unknown one counts like, on the user's word, which the spec's notes repeat.
    """
    if assume is not None:
        return _assumed(config, assume, name, where)
    family_name, left_out, file = _model_type(config, where), tuple[str, ...](), config
    if family_name in NESTED:
        nested = NESTED[family_name]
        config, left_out = _text_config(config, family_name, nested, where), (nested.left_out,)
        family_name = str(config["model_type"])
    read = Config(config, family_name, FAMILIES[family_name], where)
    read.refuse_unknown()
    spec = replace(_spec(read, name), notes=left_out + _notes(read))
    spec = replace(spec, training=_pre_training(config, spec.context))
    return _checked(_with_release(_in_range(spec, where), file, family_name, where), where)


def _pre_training(config: Mapping[str, object], context: int | None) -> Training | None:
    """The length of pre-training that a file of an extended context states beside it; None where it states none.

    A length beyond what is assumed at most is no sign of it: contexts of that length were extended too.
    """
    inner = (config.get(key) for key in ("rope_scaling", "rope_parameters"))
    for holder in (config, *(found for found in inner if isinstance(found, dict))):
        for key in ("original_max_position_embeddings", "initial_context_length"):
            length = holder.get(key)
            if _is_size(length) and isinstance(length, int) and length <= min(MOST_ASSUMED, context or MOST_ASSUMED):
                return Training(stages=(Stage(context=length, source=f"config.json, {key}", evidence="derived"),))
    return None


def _with_release(spec: ModelSpec, file: Mapping[str, object], family: str, where: str) -> ModelSpec:
    """A spec with the formats that its file says its weights are in."""
    from tscale.importer.quantization import release_of

    return replace(spec, weights=release_of(file, spec, family, where))


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
    if family_name not in FAMILIES:
        raise RequestError(f"--assume {shown(family_name)} is not a known family: {nearest(family_name, FAMILIES)}")
    own = config.get("model_type")
    if own in FAMILIES or own in NESTED:
        raise RequestError(f"{where} says model_type {shown(own)}, which is known: drop --assume")
    family, outer = FAMILIES[family_name], list[str]()
    text = config.get("text_config")
    if isinstance(text, dict) and not Config(text, family_name, family, where).missing_sizes():
        whole = Config(
            {key: value for key, value in config.items() if key != "text_config"}, family_name, family, where
        )
        outer = [key for key in whole.left_aside() if key not in text]
        both = {key: config[key] for key in _OF_BOTH if key in config}
    else:
        text, both = config, {}
    named = {"architectures": _like_named(config, family.classes, where)}
    read = Config(both | text | named, family_name, family, where)
    unread = outer + read.left_aside()
    read.refuse_other_sizes(unread)
    title = f"{name}, counted as a {family_name}"
    spec = replace(_spec(read, name), title=title, notes=_notes(read))
    spec = replace(spec, training=_pre_training(config, spec.context))
    like = AssumedFamily(
        family=family_name,
        model_type=own if isinstance(own, str) and own.isprintable() and own.strip() else None,
        defaults=tuple(f"{key} {'(derived)' if value is None else shown(value)}" for key, value in read.taken.items()),
        unread=tuple(called(key, 80) for key in unread if key.strip()),
    )
    return _checked(_with_release(_in_range(replace(spec, assumed=like), where), config, family_name, where), where)


def _like_named(config: Mapping[str, object], classes: Mapping[str, Head], where: str) -> list[str] | None:
    """The class of the assumed family that is named like the file's own: both `...ForCausalLM`, or both a bare model."""
    named = config.get("architectures")
    if not isinstance(named, list) or not named:
        return None
    ending = re.search(r"(LMHead)?(For[A-Z]\w*|Model)$", str(named[0]))
    known = [name for name in classes if ending is not None and name.endswith(ending[0])]
    if not known:
        raise SpecError(
            f"architectures: none of {', '.join(classes)} is named like {shown(named[0])}: drop it, or name one of them",
            where=where,
        )
    return known[:1]


def _model_type(config: Mapping[str, object], where: str) -> str:
    value = config.get("model_type")
    if value is None:
        raise SpecError('no "model_type": add it, because it names the family of the file', where=where)
    if not isinstance(value, str):
        raise SpecError(f"model_type must be text, not {shown(value)}", where=where)
    if value in NOT_YET:
        raise SpecError(f"model_type {shown(value)} is not known yet: {NOT_YET[value]}", where=where)
    if value not in FAMILIES and value not in NESTED:
        raise SpecError(
            f"model_type {shown(value)} is not known: {nearest(value, [*FAMILIES, *NESTED])} "
            "(--assume FAMILY counts it as one of a known family)",
            where=where,
        )
    return value


_OF_BOTH: Final = frozenset({"architectures", "tie_word_embeddings"})


def _text_config(config: Mapping[str, object], name: str, nested: Nested, where: str) -> dict[str, object]:
    """The text model of a file that describes more, tied as the whole says."""
    text = config.get("text_config")
    if nested.flat and text is None:
        text = {key: value for key, value in config.items() if key not in nested.own and key != "model_type"}
        config = {key: value for key, value in config.items() if key not in text or key in _OF_BOTH}
    if not isinstance(text, dict):
        raise SpecError(f"text_config must be an object, not {shown(text)}", where=where)
    inner = text.get("model_type", nested.text[0])
    if inner not in nested.text:
        raise SpecError(f"text_config.model_type {shown(inner)} is not known for {name}: only "
                        f"{' and '.join(nested.text)}", where=where)  # fmt: skip
    for key, value in config.items():
        if value and not (key in nested.own or key in HARMLESS or _HARMLESS_LIKE.fullmatch(key)):
            raise _unknown(key, value, name, where)
    if config.get("architectures") not in (None, [], *([known] for known in nested.classes)):
        raise SpecError(f"architectures: {shown(config['architectures'])} is not known for {name}: only "
                        f"{' and '.join(nested.classes)}", where=where)  # fmt: skip
    key = "tie_word_embeddings"
    said = text.get(key)
    tied = config.get(key, True if nested.ties_whole and said is True else nested.tied)
    if not nested.retied and (tied != nested.tied or said not in (None, tied)):
        raise SpecError(f"{key}: only {shown(nested.tied)} is known for {name}", where=where)
    if tied is None:
        raise SpecError(f'no "{key}" next to text_config: {name} needs it', where=where)
    if said not in (None, tied):
        raise SpecError(f"{key} ({shown(tied)}) and text_config.{key} ({shown(said)}) differ", where=where)
    own = {key: value for key, value in text.items() if key not in nested.inside}
    return {**nested.defaults, **own, "model_type": inner, "architectures": None, key: tied}


def _unknown(key: str, value: object, name: str, where: str) -> SpecError:
    why = f'key "{key[:60]}" ({shown(value)}) is not known for {name}, and may change what is counted'
    return SpecError(why, where=where)


def _notes(config: Config) -> tuple[str, ...]:
    return () if config.family.notes is None else config.family.notes(config)


class Config:
    """The keys of one file under their own names, with the defaults of its family's class for those it leaves out."""

    def __init__(self, data: Mapping[str, object], family_name: str, family: Family, where: str) -> None:
        self.family_name, self.family, self._where = family_name, family, where
        self._data = self._without_aliases(data)
        self.taken: dict[str, object] = {}
        """What was taken from the class's defaults, since the file does not say it."""

    @property
    def keys(self) -> Keys:
        """How this family calls its sizes."""
        return self.family.keys

    def wrong(self, message: str) -> SpecError:
        """An error in this file."""
        return SpecError(message, where=self._where)

    def reads(self, key: str) -> bool:
        """Whether the class reads a key."""
        return key in self.family.reads

    def value(self, key: str) -> object:
        """What stands at a key, or what the class takes in its place."""
        default = self.family.reads[key]
        value = self._data.get(key, default)
        if key not in self._data and default is not NEEDED:
            self.taken[key] = default
        if default is NEEDED and value in (None, NEEDED):
            raise self.wrong(f'no "{key}": {self.family_name} needs it')
        if value is None and default is not None and key not in self.family.null:
            self._mistyped(key, self._kind_of(default), None)
        return value

    def size(self, key: str) -> int:
        """A whole number above 0."""
        return self._whole(key, self.value(key), 1)

    def whole(self, key: str) -> int:
        """A whole number, 0 allowed."""
        return self._whole(key, self.value(key), 0)

    def optional(self, key: str) -> int | None:
        """A whole number above 0, or None where it is absent or null."""
        value = self.value(key)
        return None if value is None else self._whole(key, value, 1)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        return value if isinstance(value, bool) else self._mistyped(key, "true or false", value)

    def text(self, key: str) -> str:
        """A word."""
        value = self.value(key)
        return value if isinstance(value, str) else self._mistyped(key, "text", value)

    def listed(self, key: str, kind: type[T]) -> list[T] | None:
        """A list of one kind of value, or None where it is absent or null."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            self._mistyped(key, "a list of words" if kind is str else "a list of whole numbers", value)
        return cast("list[T]", value)

    def architectures(self) -> str | None:
        """The one class that the file names, or None."""
        value = self._data.get("architectures")
        match value:
            case None | []:
                return None
            case [str(name)]:
                return name
        return self._mistyped("architectures", "a list of one class", value)

    def agreed(self, key: str, derived: int, source: str) -> int:
        """A number that another key decides: this one may repeat it, and nothing else."""
        if self.optional(key) not in (None, derived):
            raise self.wrong(f"{key}: {self.optional(key)} contradicts {source}, which makes it {derived}")
        return derived

    def inner(self, key: str, sizes: Mapping[str, int], *, harmless: Iterable[str] = ()) -> dict[str, int]:
        """The whole numbers of an object inside the file, and nothing else in it that might change a count."""
        data = self.value(key)
        if not isinstance(data, dict | None):
            raise self.wrong(f"{key} must be a mapping, not {shown(data)}")
        for name, value in (data or {}).items():
            known = name in sizes or name in harmless or name in HARMLESS or _HARMLESS_LIKE.fullmatch(name)
            if value and not known:
                raise _unknown(f"{key}.{name}", value, self.family_name, self._where)
        return {
            name: self._whole(f"{key}.{name}", (data or {}).get(name, default), 1) for name, default in sizes.items()
        }

    def refuse_unknown(self) -> None:
        """Refuses a value that the class does not have, and a key that might change a count."""
        for key, value in self._data.items():
            if key in self.family.fixed:
                self._refuse_unlike(key, value, self.family.fixed[key])
            elif value and not (self.reads(key) or self._is_harmless(key)):
                raise _unknown(key, value, self.family_name, self._where)

    def left_aside(self) -> list[str]:
        """The keys that might change a count and that the class does not read; refuses a value that it does not have."""
        for key, value in self._data.items():
            if key in self.family.fixed:
                self._refuse_unlike(key, value, self.family.fixed[key])
        read = {*self.family.fixed, *self.family.reads}
        return [key for key, value in self._data.items() if value and not (key in read or self._is_harmless(key))]

    def missing_sizes(self) -> dict[str, re.Pattern[str]]:
        """The sizes without which nothing is its own and that the file lacks, each with what its key may be like."""
        keys = self.keys
        sizes = {keys.layers: _LAYER_KEY, keys.d_model: _WIDTH_KEY, keys.heads: _HEAD_KEY, keys.vocabulary: _WORDS_KEY}
        return {key: like for key, like in sizes.items() if self.reads(key) and key not in self._data}

    def refuse_other_sizes(self, unread: Iterable[str]) -> None:
        """Refuses a file that lacks a size; names for each what else in it may be that size."""
        missing, found = self.missing_sizes(), [key for key in unread if _is_size(self._data.get(key))]
        if not missing:
            return
        alike = {key: [other[:60] for other in found if like.search(other)] for key, like in missing.items()}
        told = [f"{key} (perhaps its {' or '.join(others)})" if others else key for key, others in alike.items()]
        hint = "rename the keys that hold them" if any(alike.values()) else "add them to the file"
        raise self.wrong(f"--assume {self.family_name} needs {', '.join(told)}, and the file has no such key: {hint}")

    def _is_harmless(self, key: str) -> bool:
        return key in HARMLESS or key in self.family.harmless or _HARMLESS_LIKE.fullmatch(key) is not None

    def _refuse_unlike(self, key: str, value: object, expected: object) -> None:
        if value is not None and (value != expected or isinstance(value, bool) != isinstance(expected, bool)):
            raise self.wrong(
                f"{key}: {shown(value)} is not known yet for {self.family_name}: only {shown(expected)} is"
            )

    def _without_aliases(self, data: Mapping[str, object]) -> dict[str, object]:
        known = dict(data)
        for alias, key in self.family.aliases.items():
            value = known.pop(alias, None)
            if value is None:
                continue
            if known.get(key) is not None and known[key] != value:
                raise self.wrong(
                    f"{alias} ({shown(value)}) and {key} ({shown(known[key])}) mean the same size, and differ: drop one"
                )
            known[key] = value
        return known

    def _whole(self, key: str, value: object, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_SIZE:
            self._mistyped(key, f"a whole number from {least} to 10^12", value)
        return value

    def _kind_of(self, default: object) -> str:
        return {bool: "true or false", int: "a whole number", str: "text"}.get(type(default), "a list")

    def _mistyped(self, key: str, wanted: str, value: object) -> NoReturn:
        raise self.wrong(f"{key} must be {wanted}, not {shown(value)}")


def _spec(config: Config, name: str) -> ModelSpec:
    family, keys = config.family, config.keys
    head = _head(config)
    positions: Positions = family.positions(config) if callable(family.positions) else family.positions
    return ModelSpec(
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
        head=head,
        encoder=None if family.encoder is None else family.encoder(config),
    )


def _head(config: Config) -> Head:
    """The head of the class that `architectures` names; of the family's usual class where it names none."""
    classes, named = config.family.classes, config.architectures()
    for known, head in classes.items():
        if named is None or known.lower() == named.lower():
            biased = (
                config.family.head_bias is not None and head.kind != "none" and config.flag(config.family.head_bias)
            )
            own = head if config.family.head is None else config.family.head(config, head)
            return replace(own, bias=True) if biased else own
    raise config.wrong(
        f"architectures: {shown(named)} is not known for {config.family_name}: {nearest(str(named), classes)}"
    )


def _attention(config: Config) -> Mixer:
    family, sight = config.family, _sight(config)
    qk_norm = family.qk_norm if family.qk_norm_if is None or config.flag(family.qk_norm_if) else None
    biased = "".join(letters for letters, said in family.biases.items() if _said(said, config))
    projections = cast("tuple[Projection, ...]", tuple(biased))
    return Attention(
        heads=config.size(config.keys.heads),
        kv_heads=family.kv_heads(config),
        head_dim=family.head_dim(config),
        bias=True if len(projections) == 4 else projections or False,
        qk_norm=qk_norm,
        qk_norm_bias=family.qk_norm_bias and qk_norm is not None,
        gated=family.gated_heads,
        out_norm=family.out_norm,
        differential=family.differential,
        sinks=family.sinks,
        window=sight.window,
        chunked=sight.chunked and sight.window is not None,
        pattern=sight.pattern,
    )


def _sight(config: Config) -> AttentionMask:
    return AttentionMask() if config.family.sight is None else config.family.sight(config)


def _feed_forward(config: Config) -> Mlp | tuple[Mlp, ...]:
    family, key = config.family, config.keys.d_ff
    d_ff = None if key is None else config.optional(key)
    dense = FeedForward(
        d_ff=4 * config.size(config.keys.d_model) if d_ff is None else d_ff,
        gated=_settled(family.gated, config),
        bias=_said(family.d_ff_bias, config),
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
