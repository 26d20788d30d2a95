"""Which layers of a `config.json` have experts, and which experts: for the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tscale.blocks import Experts, FeedForward, LatentAttention, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer.family_rules import a_layer_each, layers_told_apart

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """How a family's files call the sizes of its experts, and what the class takes for granted."""

    experts: str = "num_local_experts"
    top_k: str = "num_experts_per_tok"
    d_ff: str = "moe_intermediate_size"
    shared: str | None = None
    """The key of how many shared experts there are, each as wide as a routed one."""
    shared_d_ff: str | None = None
    """The key of the width of all shared experts."""
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False
    selection_bias: Literal["buffer", "parameter"] | None = None
    out_norm: bool = False
    sparse: Callable[[Config], Sequence[bool]] | None = None
    """For each layer, whether it has experts; where absent, every layer has."""


def dealt_out(config: Config, dense: FeedForward, row: Routed) -> Mlp | tuple[Mlp, ...]:
    """The experts alone, the dense feed-forward alone, or both with the layers that they stand in."""
    sparse = [True] if row.sparse is None else row.sparse(config)
    if not any(sparse):
        return dense
    routed = _routed(config, row, gated=dense.gated)
    return routed if all(sparse) else _two(dense, routed, sparse)


def _two(dense: FeedForward, routed: Experts, sparse: Sequence[bool]) -> tuple[Mlp, Mlp]:
    """The shortest way to say which layers have experts: all but the first, every n-th, or by number."""
    at = [layer for layer, has in enumerate(sparse) if has]
    if all(sparse[at[0] :]):
        return replace(dense, on=LayerSelector(first=at[0])), routed
    every = at[1] - at[0] if len(at) > 1 else len(sparse)
    if at == list(range(at[0], len(sparse), every)) and at[0] < every:
        return dense, replace(routed, on=LayerSelector(every=every, at=at[0]))
    if 2 * len(at) <= len(sparse):
        return dense, replace(routed, on=LayerSelector(layers=tuple(at)))
    return replace(dense, on=LayerSelector(layers=tuple(layer for layer, has in enumerate(sparse) if not has))), routed


def _routed(config: Config, row: Routed, *, gated: bool) -> Experts:
    d_ff = config.size(row.d_ff)
    if row.shared is not None:
        shared = d_ff * config.whole(row.shared)
    else:
        shared = 0 if row.shared_d_ff is None else config.whole(row.shared_d_ff)
    return Experts(
        kind="experts",
        experts=config.size(row.experts),
        top_k=config.size(row.top_k),
        d_ff=d_ff,
        gated=gated,
        bias=row.bias,
        router_bias=row.router_bias,
        selection_bias=row.selection_bias,
        out_norm=row.out_norm,
        shared_d_ff=shared or None,
        shared_gate=row.shared_gate and shared > 0,
    )


# ---- which layers have experts ----


def after_the_first(config: Config) -> list[bool]:
    """All but the first `first_k_dense_replace`."""
    first = config.whole("first_k_dense_replace")
    return [layer >= first for layer in range(layers_told_apart(config))]


def after_dense(config: Config) -> list[bool]:
    """All but the first `num_dense_layers`."""
    first = config.whole("num_dense_layers")
    return [layer >= first for layer in range(layers_told_apart(config))]


def all_but_first(config: Config) -> list[bool]:
    """As `mlp_layer_types` lists them; all but the first layer where it is absent."""
    return _listed(config, lambda layer: layer > 0)


def all_unless_listed(config: Config) -> list[bool]:
    """As `mlp_layer_types` lists them; all where it is absent."""
    return _listed(config, lambda _: True)


def exaone_moe(config: Config) -> list[bool]:
    """As `mlp_layer_types` lists them; all but the first `first_k_dense_replace` where it is absent."""
    first = config.whole("first_k_dense_replace")
    return _listed(config, lambda layer: layer >= first)


def _listed(config: Config, otherwise: Callable[[int], bool]) -> list[bool]:
    kinds = a_layer_each(config, "mlp_layer_types", str)
    if kinds is None:
        return [otherwise(layer) for layer in range(layers_told_apart(config))]
    for kind in kinds:
        if kind not in ("dense", "sparse"):
            raise config.wrong(f"mlp_layer_types: {shown(kind)} is not known: only dense and sparse are")
    return [kind == "sparse" for kind in kinds]


def qwen_moe(config: Config) -> list[bool]:
    """The last of every `decoder_sparse_step` layers, but for those in `mlp_only_layers`; none without experts."""
    step, dense = config.size("decoder_sparse_step"), config.listed("mlp_only_layers", int) or []
    some = config.whole("num_local_experts" if config.reads("num_local_experts") else "num_experts") > 0
    return [some and layer not in dense and (layer + 1) % step == 0 for layer in range(layers_told_apart(config))]


def ernie_moe(config: Config) -> list[bool]:
    """The last of every `moe_layer_interval` layers from `moe_layer_start_index` to `moe_layer_end_index`."""
    layers, step = layers_told_apart(config), config.size("moe_layer_interval")
    start, end = config.whole("moe_layer_start_index"), config.value("moe_layer_end_index")
    last = layers - 1 if end == -1 else config.whole("moe_layer_end_index")
    return [start <= layer <= last and (layer + 1) % step == 0 for layer in range(layers)]


def llama4(config: Config) -> list[bool]:
    """Those in `moe_layers`, or the last of every `interleave_moe_layer_step`."""
    layers, step, at = (
        layers_told_apart(config),
        config.size("interleave_moe_layer_step"),
        config.listed("moe_layers", int),
    )
    return [(layer + 1) % step == 0 if at is None else layer in at for layer in range(layers)]


# ---- families of their own ----


def dbrx_experts(config: Config, dense: FeedForward) -> Experts:
    """Those of the inner mapping `ffn_config`, in every layer."""
    defaults = {"ffn_hidden_size": 3584, "moe_num_experts": 4, "moe_top_k": 1}
    harmless = ("moe_jitter_eps", "moe_loss_weight", "moe_normalize_expert_weights", "ffn_act_fn", "hidden_size")
    inner = config.inner("ffn_config", defaults, harmless=harmless)
    experts, top_k = inner["moe_num_experts"], inner["moe_top_k"]
    return Experts(kind="experts", experts=experts, top_k=top_k, d_ff=inner["ffn_hidden_size"], gated=dense.gated)


def cohere2_moe(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Dense layers may have a width of their own; a shared expert is as wide as a routed one."""
    row = Routed(experts="num_experts", d_ff="intermediate_size", shared="num_shared_experts", sparse=all_unless_listed)
    return dealt_out(config, replace(dense, d_ff=config.optional("prefix_dense_intermediate_size") or dense.d_ff), row)


def latent(config: Config) -> LatentAttention:
    """Latent attention; how many keys and values there are beside the heads, it does not ask."""
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    config.agreed("qk_head_dim", nope + rope, "qk_nope_head_dim + qk_rope_head_dim")
    return LatentAttention(
        kind="latent",
        heads=config.size(config.keys.heads),
        q_rank=config.optional("q_lora_rank"),
        kv_rank=config.size("kv_lora_rank"),
        nope_dim=nope,
        rope_dim=rope,
        v_dim=config.optional("v_head_dim") or config.size(config.keys.d_model) // config.size(config.keys.heads),
        bias=config.flag("attention_bias"),
    )


def prediction_layers(config: Config) -> tuple[str, ...]:
    """A note where the file names layers that predict further tokens, which the class does not build."""
    if not config.whole("num_nextn_predict_layers"):
        return ()
    return ("Left out: the layers that predict further tokens (num_nextn_predict_layers), as the class does.",)
