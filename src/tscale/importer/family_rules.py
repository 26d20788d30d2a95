"""What several keys of a `config.json` decide together, one small function each, for the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from tscale.blocks import Attention, Computed, FeedForward, Learned, Norm, Positions, RelativeBias
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.models.spec import Embedding, Encoder

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

Reach = Literal["local", "global"]
T = TypeVar("T")

MOST_LAYERS: Final = 10_000


class AttentionMask(NamedTuple):
    """How far queries see: the window of local layers, which layers are local, and whether a window is a chunk."""

    window: int | None = None
    pattern: tuple[Reach, ...] | None = None
    chunked: bool = False


# ---- heads ----


def kv_heads(config: Config) -> int | None:
    """As many as the file says; as many as query heads where it is silent."""
    return config.optional("num_key_value_heads") if config.reads("num_key_value_heads") else None


def head_dim(config: Config) -> int | None:
    """As wide as the file says; d_model / heads where it is silent."""
    return config.optional("head_dim") if config.reads("head_dim") else None


def exact_head_dim(config: Config) -> int | None:
    """For classes that have o, or all four, at d_model whatever `head_dim` says: it may say nothing else."""
    width, heads, d_model = (
        config.optional("head_dim"),
        config.size(config.keys.heads),
        config.size(config.keys.d_model),
    )
    if width is not None and width * heads != d_model:
        raise config.wrong(
            f"head_dim: {width} times {heads} heads is not {config.keys.d_model} {d_model}, as it must be"
        )
    return None


def phi_head_dim(config: Config) -> int | None:
    """As the file says; the norms on queries and keys are as wide as d_model / heads whatever it says."""
    return exact_head_dim(config) if config.flag("qk_layernorm") else head_dim(config)


def even_head_dim(config: Config) -> None:
    """d_model / heads, whatever else the file says."""


def dbrx_kv_heads(config: Config) -> int:
    """Those of the inner mapping `attn_config`."""
    return config.inner("attn_config", {"kv_n_heads": 1}, harmless=("clip_qkv", "attn_pdrop"))["kv_n_heads"]


def all_kv_heads(config: Config) -> int | None:
    """As many as query heads: the file may repeat that, and nothing else."""
    return config.agreed("num_key_value_heads", config.size(config.keys.heads), "the class")


def bigcode_kv_heads(config: Config) -> int | None:
    """One with `multi_query`, otherwise all."""
    heads = 1 if config.flag("multi_query") else config.size("n_head")
    return config.agreed("num_key_value_heads", heads, "multi_query")


def falcon_kv_heads(config: Config) -> int | None:
    """The new architecture says how many; the old one has one with `multi_query`, otherwise all."""
    if config.flag("new_decoder_architecture"):
        return config.optional("num_kv_heads")
    if config.flag("multi_query"):
        return 1
    return config.agreed("num_kv_heads", config.size("num_attention_heads"), "multi_query")


# ---- windows ----


def window(config: Config) -> AttentionMask:
    """Every layer has the window, if there is one."""
    return AttentionMask(config.optional("sliding_window"))


def gemma2_sight(config: Config) -> AttentionMask:
    """Every other layer is local, beginning with the first."""
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: layer % 2 == 0)


def cohere2_sight(config: Config) -> AttentionMask:
    """The last of every `sliding_window_pattern` layers is global."""
    period = config.size("sliding_window_pattern")
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % period != 0)


def qwen2_sight(config: Config) -> AttentionMask:
    """With `use_sliding_window`, the layers from `max_window_layers` on are local."""
    used, first = _window_in_use(config), config.whole("max_window_layers")
    return by_layer_types(config, used, lambda layer: used is not None and layer >= first)


def smollm3_sight(config: Config) -> AttentionMask:
    """With `use_sliding_window`, the layers without rotation are local: the last of each interval, or those at 0."""
    used, listed = _window_in_use(config), a_layer_each(config, "no_rope_layers", int)
    interval = config.size("no_rope_layer_interval")

    def local(layer: int) -> bool:
        rotates = bool(listed[layer]) if listed is not None else (layer + 1) % interval != 0
        return used is not None and not rotates

    return by_layer_types(config, used, local)


def window_in_use(config: Config) -> AttentionMask:
    """With `use_sliding_window`, every layer has the window."""
    return AttentionMask(_window_in_use(config))


def qwen2_moe_sight(config: Config) -> AttentionMask:
    """With `use_sliding_window`, every other one of the first `max_window_layers` is local."""
    used, end = _window_in_use(config), config.whole("max_window_layers")
    return by_layer_types(config, used, lambda layer: used is not None and layer % 2 == 0 and layer < end)


def gemma3_sight(config: Config) -> AttentionMask:
    """The last of every `sliding_window_pattern` layers is global; the class saves that number under another name."""
    period = config.size("sliding_window_pattern")
    if config.value("layer_types") is None:
        config.agreed("_sliding_window_pattern", period, "sliding_window_pattern")
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % period != 0)


def three_of_four(config: Config) -> AttentionMask:
    """The last of every four layers is global."""
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % 4 != 0)


def all_but_every_fourth(config: Config) -> AttentionMask:
    """The first of every four layers is global."""
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: layer % 4 != 0)


def four_of_five(config: Config) -> AttentionMask:
    """The last of every five layers is global."""
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % 5 != 0)


def afmoe_sight(config: Config) -> AttentionMask:
    """The last of every `global_attn_every_n_layers` layers is global."""
    period = config.size("global_attn_every_n_layers")
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % period != 0)


def exaone4_sight(config: Config) -> AttentionMask:
    """As `layer_types` lists them, otherwise the last of every `sliding_window_pattern` layers is global."""
    period = 1 if config.value("layer_types") is not None else config.size("sliding_window_pattern")
    return by_layer_types(config, config.optional("sliding_window"), lambda layer: (layer + 1) % period != 0)


def ministral_sight(config: Config) -> AttentionMask:
    """Every layer has the window, unless `layer_types` says otherwise."""
    length = config.optional("sliding_window")
    return by_layer_types(config, length, lambda _: length is not None)


def dots1_sight(config: Config) -> AttentionMask:
    """The layers from `max_window_layers` on are local, if there is a window."""
    length, first = config.optional("sliding_window"), config.whole("max_window_layers")
    return by_layer_types(config, length, lambda layer: length is not None and layer >= first)


def full_unless_listed(config: Config) -> AttentionMask:
    """Every layer is global, unless `layer_types` says otherwise."""
    return by_layer_types(config, config.optional("sliding_window"), lambda _: False)


def llama4_sight(config: Config) -> AttentionMask:
    """The layers that rotate see their own chunk only: all but the last of each interval, or those not at 0."""
    length, interval = config.optional("attention_chunk_size"), config.size("no_rope_layer_interval")
    rotates = a_layer_each(config, "no_rope_layers", int) if config.value("no_rope_layers") else None
    if length is None:
        raise config.wrong("attention_chunk_size must be a whole number from 1 to 10^12, not null")
    local = (lambda layer: (layer + 1) % interval != 0) if rotates is None else (lambda layer: bool(rotates[layer]))
    return by_layer_types(config, length, local, "chunked_attention")._replace(chunked=True)


def minimax_m2_sight(config: Config) -> AttentionMask:
    """Every layer is global: older files list that."""
    listed = a_layer_each(config, "attn_type_list", int)
    if listed is not None and any(kind != 1 for kind in listed):
        raise config.wrong("attn_type_list: only layers of full attention (1) are known")
    return AttentionMask()


def gpt_neo_sight(config: Config) -> AttentionMask:
    """Each item of `attention_types` is a pattern and how often it is repeated."""
    layers = layers_told_apart(config)
    found = _expanded(config, config.value("attention_types"))
    listed = config.listed("attention_layers", str)
    if listed is not None and listed != found:
        raise config.wrong("attention_layers and attention_types differ")
    if len(found) != layers:
        raise config.wrong(f"attention_types has {len(found)} layers, and num_layers is {layers}")
    pattern = tuple(_reach(config, "attention_types", name, {"local": "local", "global": "global"}) for name in found)
    return sight_of(pattern, config.size("window_size"))


def _expanded(config: Config, items: object) -> list[str]:
    found: list[str] = []
    for item in items if isinstance(items, list) else [None]:
        match item:
            case [list() as pattern, int(times)] if not isinstance(times, bool) and 0 < times <= config.size(
                "num_layers"
            ):
                found += [str(name) for name in pattern] * times
            case _:
                raise config.wrong("attention_types must be a list of patterns and how often each is repeated")
    return found


def _window_in_use(config: Config) -> int | None:
    return config.optional("sliding_window") if config.flag("use_sliding_window") else None


def by_layer_types(
    config: Config, window: int | None, local: Callable[[int], bool], called: str = "sliding_attention"
) -> AttentionMask:
    """Which layers are local: as `layer_types` lists them, otherwise those that `local` says are."""
    listed, legal = a_layer_each(config, "layer_types", str), dict[str, Reach](full_attention="global")
    legal[called] = "local"
    if listed is None:
        pattern = tuple[Reach, ...]("local" if local(layer) else "global" for layer in range(layers_told_apart(config)))
    else:
        pattern = tuple(_reach(config, "layer_types", name, legal) for name in listed)
    if "local" in pattern and window is None:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    return sight_of(pattern, window)


def layers_told_apart(config: Config) -> int:
    """The depth, where every layer is told apart: no model comes near the limit."""
    layers = config.size(config.keys.layers)
    if layers > MOST_LAYERS:
        raise config.wrong(f"{config.keys.layers}: {layers} is too deep for layers that differ: at most {MOST_LAYERS}")
    return layers


def a_layer_each(config: Config, key: str, kind: type[T]) -> list[T] | None:
    """A list that has an entry for every layer, or None where the key is absent."""
    listed, layers = config.listed(key, kind), config.size(config.keys.layers)
    if listed is not None and len(listed) != layers:
        raise config.wrong(f"{key} has {len(listed)} entries, and {config.keys.layers} is {layers}")
    return listed


def _reach(config: Config, key: str, name: str, legal: dict[str, Reach]) -> Reach:
    if name not in legal:
        raise config.wrong(f"{key}: {shown(name)} is not known yet: only {' and '.join(legal)} are")
    return legal[name]


def sight_of(pattern: Sequence[Reach], window: int | None) -> AttentionMask:
    """The shortest pattern that gives these layers when it is repeated; none where all are alike."""
    if "local" not in pattern:
        return AttentionMask()
    if "global" not in pattern:
        return AttentionMask(window)
    length = len(pattern)
    period = next(p for p in range(1, length + 1) if all(pattern[i] == pattern[i % p] for i in range(length)))
    return AttentionMask(window, tuple(pattern[:period]))


# ---- norms ----


def opt_norm(config: Config) -> Norm:
    """Post-norm, as in OPT-350m, has no final norm; an early release of pre-norm had none either."""
    weights = config.flag("layer_norm_elementwise_affine")
    before = config.flag("do_layer_norm_before")
    return Norm(
        kind="layernorm",
        place="pre" if before else "post",
        final=False if before and config.flag("_remove_final_layer_norm") else None,
        bias=None if weights else False,
        gain=weights,
    )


def falcon_norm(config: Config) -> Norm:
    """Two norms a layer, but one where the sub-layers run side by side and do not have one each."""
    new, parallel = config.flag("new_decoder_architecture"), config.flag("parallel_attn")
    count = config.optional("num_ln_in_parallel_attn")
    if new and not parallel:
        raise config.wrong("new_decoder_architecture: true is not known with parallel_attn: false")
    if count not in (None, 1, 2) or (count == 2 and not new):
        raise config.wrong(f"num_ln_in_parallel_attn: {count} is not known for this architecture")
    two = not parallel or (new and count != 1)
    return Norm(kind="layernorm", place="pre" if two else "parallel")


def stablelm_norm(config: Config) -> Norm:
    """One norm a layer where the sub-layers run side by side."""
    return Norm(kind="layernorm", place="parallel" if config.flag("use_parallel_residual") else "pre")


def post_norm_too(config: Config) -> Norm:
    """Norms behind the sub-layers beside those before them, where `use_post_norm` says so."""
    return Norm(kind="rmsnorm", place="sandwich" if config.flag("use_post_norm") else "pre")


# ---- attention and feed-forwards of families of their own ----


def last_biased(config: Config) -> tuple[Attention, Attention]:
    """Attention without biases, but for one behind the last layer's."""
    heads, last = config.size("num_attention_heads"), layers_told_apart(config) - 1
    return Attention(heads=heads), Attention(heads=heads, bias=("o",), on=LayerSelector(layers=(last,)))


def multiple_of_width(config: Config) -> FeedForward:
    """So many times d_model wide."""
    return FeedForward(d_ff=config.size("intermediate_multiple_size") * config.size("hidden_size"))


# ---- positions ----


def table(config: Config) -> Positions:
    """A table with a row for each of `max_position_embeddings`, all of them counted, read or not."""
    return Learned(rows=config.size("max_position_embeddings"))


def sines(config: Config) -> Positions:
    """Sinusoids that are stored, a row for each of `max_position_embeddings`."""
    return Computed(kind="sinusoidal", rows=config.size("max_position_embeddings"))


def table_and_two(config: Config) -> Positions:
    """A table with two more rows than positions, which no token reads."""
    return Learned(rows=config.size("max_position_embeddings") + 2)


def falcon_positions(config: Config) -> Positions:
    """A penalty on distances, or rotation."""
    return Computed(kind="alibi") if config.flag("alibi") else Computed(kind="rotary")


def mpt_positions(config: Config) -> Positions:
    """A penalty on distances; the inner mapping `attn_config` may say nothing else that matters."""
    inner = config.value("attn_config")
    known = {"alibi": True, "attn_type": "multihead_attention", "qk_ln": False, "prefix_lm": False}
    if not isinstance(inner, dict | None):
        raise config.wrong(f"attn_config must be a mapping, not {shown(inner)}")
    for key, expected in known.items():
        value = (inner or {}).get(key)
        if value is not None and value != expected:
            raise config.wrong(f"attn_config.{key}: {shown(value)} is not known yet: only {shown(expected)} is")
    return Computed(kind="alibi")


def relative_bias(config: Config) -> Positions:
    """One table of biases a stack, as in T5."""
    return RelativeBias(buckets=config.size("relative_attention_num_buckets"))


def relative_bias_per_layer(config: Config) -> Positions:
    """A table of biases in every layer, as in UMT5."""
    return RelativeBias(buckets=config.size("relative_attention_num_buckets"), per_layer=True)


# ---- embeddings ----


def segments(config: Config) -> Embedding:
    """A table of segments beside the tokens'."""
    return Embedding(segments=config.size("type_vocab_size"))


def electra_embedding(config: Config) -> Embedding:
    """With segments, and projected as a whole where it is not as wide as the model."""
    width = config.size("embedding_size")
    own = None if width == config.size("hidden_size") else width
    return Embedding(segments=config.size("type_vocab_size"), width=own, projects="sum" if own else "tokens")


def opt_embedding(config: Config) -> Embedding:
    """Tokens projected where they are not as wide as the model."""
    width = config.optional("word_embed_proj_dim")
    return Embedding(width=None if width == config.size("hidden_size") else width)


# ---- encoders of encoder-decoders ----


def bart_encoder(config: Config) -> Encoder | None:
    """Each stack has keys of its own."""
    heads, d_ff = config.size("encoder_attention_heads"), config.size("encoder_ffn_dim")
    return _encoder(
        None if config.size("encoder_layers") == config.size("decoder_layers") else config.size("encoder_layers"),
        None if heads == config.size("decoder_attention_heads") else Attention(heads=heads, bias=True),
        None if d_ff == config.size("decoder_ffn_dim") else FeedForward(d_ff=d_ff, bias=True),
    )


def marian_encoder(config: Config) -> Encoder | None:
    """As BART's; both stacks have one vocabulary."""
    config.agreed("decoder_vocab_size", config.size("vocab_size"), "vocab_size")
    return bart_encoder(config)


def t5_decoder_layers(config: Config) -> int:
    """As many as in the encoder where the file is silent."""
    return config.optional("num_decoder_layers") or config.size("num_layers")


def t5_encoder(config: Config) -> Encoder | None:
    """Of another depth at the most."""
    layers = config.size("num_layers")
    return _encoder(None if layers == t5_decoder_layers(config) else layers, None, None)


def _encoder(layers: int | None, attention: Attention | None, feed_forward: FeedForward | None) -> Encoder | None:
    if layers is None and attention is None and feed_forward is None:
        return None
    return Encoder(layers=layers, attention=attention, feed_forward=feed_forward)


def t5_head_dim(config: Config) -> int:
    """Its own key, whatever d_model is."""
    return config.size("d_kv")


def t5_gated(config: Config) -> bool:
    """`gated-gelu` is gated, `relu` is not."""
    text = config.text("feed_forward_proj")
    first, dash, rest = text.partition("-")
    if not text or (dash and (first != "gated" or not rest or "-" in rest)):
        raise config.wrong(f"feed_forward_proj: {shown(text)} is not known: an activation's name, or gated- and a name")
    if config.value("is_gated_act") not in (None, bool(dash)):
        raise config.wrong(f"is_gated_act: {shown(config.value('is_gated_act'))} contradicts {shown(text)}")
    return bool(dash)
