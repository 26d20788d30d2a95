"""Families whose code stands in their repositories, not in transformers, read by hand: rows as in `tscale.importer.families`.

`tests/oracle/record_remote.py` counts what that code builds. No list of the keys that it reads is recorded, so that a key which
a row does not have is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tscale.blocks import Computed, FeedForward, Norm, Positions
from tscale.importer import expert_rules as experts
from tscale.importer.expert_rules import Routed
from tscale.importer.family import Family, Keys
from tscale.importer.family_rows import EVERY, NO_BIASES, causal, modern
from tscale.models.spec import Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

_CHATGLM: Final = Keys(
    vocabulary="padded_vocab_size", layers="num_layers", d_ff="ffn_hidden_size", context="seq_length"
)
_PHI: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff="n_inner", context="n_positions")
_USUAL: Final = ("gradient_checkpointing", "max_window_layers", "transformers_version", "use_flash_attn")


def _qwen_width(config: Config) -> int:
    return config.size("kv_channels")


def _qwen_feed_forward(config: Config) -> FeedForward:
    """The file says the width of gate and up together."""
    both = config.size("intermediate_size")
    if both % 2:
        raise config.wrong(f"intermediate_size: {both} is odd, and stands for two matrices of one width")
    return FeedForward(d_ff=both // 2, gated=True)


def _qwen_heads(config: Config) -> int | None:
    """Heads of `kv_channels` that fill d_model: the projection out is as wide."""
    heads, width, d_model = config.size("num_attention_heads"), config.size("kv_channels"), config.size("hidden_size")
    if heads * width != d_model:
        raise config.wrong(f"kv_channels: {width} times {heads} heads is not hidden_size {d_model}, as it must be")
    return None


def _baichuan_positions(config: Config) -> Positions:
    """The code for 7B rotates, and its files say how far; that for 13B has a penalty on distances."""
    return Computed(kind="rotary" if config.says("max_position_embeddings") is not None else "alibi")


def _chatglm_heads(config: Config) -> int | None:
    return config.size("multi_query_group_num") if config.flag("multi_query_attention") else None


def _chatglm_norm(config: Config) -> Norm:
    kind: Norm = Norm(kind="rmsnorm") if config.flag("rmsnorm") else Norm(kind="layernorm")
    return kind if config.flag("post_layer_norm") else Norm(kind=kind.kind, final=False)


def _deepseek_sparse(config: Config) -> list[bool]:
    """All layers but the first few, and none of a model without experts."""
    return experts.after_the_first(config) if config.optional("n_routed_experts") else [False]


def _phi_kv_heads(config: Config) -> int | None:
    return config.optional("n_head_kv")


# fmt: off
REMOTE: Final[dict[str, Family]] = {
    "internlm": modern(
        "InternLM", (103168, 4096, 32, 32, 11008, 2048), {"bias": True}, biases={"qkvo": "bias"}, harmless=(*_USUAL, "rotary"),
    ),
    "internlm2": modern(
        "InternLM2", (103168, 4096, 32, 32, 11008, 2048), {"bias": False}, biases={"qkvo": "bias"}, harmless=_USUAL,
    ),
    "baichuan": modern(
        "Baichuan", (125696, 4096, 32, 32, 11008, 4096), {}, positions=_baichuan_positions,
        harmless=(*_USUAL, "model_max_length", "z_loss_weight", "_from_model_config"),
        classes=causal("Baichuan") | {"BaiChuanForCausalLM": Head()},
    ),
    "qwen": modern(
        "QWen", (151936, 4096, 32, 32, 22016, 32768), {"kv_channels": 128}, biases={"qkv": True}, fixed={"no_bias": True},
        head_dim=_qwen_heads, feed_forward=_qwen_feed_forward, classes=causal("QWen", suffix="LMHeadModel"),
        harmless=(*_USUAL, "attn_dropout_prob", "emb_dropout_prob", "bf16", "fp16", "fp32", "onnx_safe", "use_dynamic_ntk",
                  "use_logn_attn", "use_cache_quantization", "use_cache_kernel", "softmax_in_fp32"),
    ),
    # the bare model keeps the head too
    "chatglm": Family(
        classes={"ChatGLMForConditionalGeneration": Head(), "ChatGLMModel": Head()}, keys=_CHATGLM,
        reads=_CHATGLM.reads(
            (65024, 4096, 28, 32, 13696, 2048), kv_channels=128, multi_query_attention=False, multi_query_group_num=1,
            add_qkv_bias=False, add_bias_linear=False, rmsnorm=True, post_layer_norm=True, tie_word_embeddings=False,
        ),
        fixed={"pre_seq_len": None, "quantization_bit": 0},
        harmless=(*_USUAL, "fp32_residual_connection", "apply_query_key_layer_scaling", "original_rope", "rope_ratio",
                  "vocab_size", "layernorm_epsilon", "prefix_projection", "interleaved_qkv"),
        norm=_chatglm_norm, kv_heads=_chatglm_heads, head_dim=_qwen_width, gated=True, d_ff_bias="add_bias_linear",
        biases={"qkv": "add_qkv_bias", "qkvo": "add_bias_linear"},
    ),
    "minicpm": modern(
        "MiniCPM", (32000, 4096, 32, 32, 11008, 2048), {"attention_bias": False, "tie_word_embeddings": True},
        harmless=(*_USUAL, "mup_denominator", "use_mup"),
    ),
    "deepseek": modern(
        "Deepseek", (102400, 4096, 30, 32, 11008, 2048),
        {"attention_bias": False, "n_routed_experts": None, "n_shared_experts": None, "num_experts_per_tok": None,
         "moe_intermediate_size": 1407, "first_k_dense_replace": 0},
        fixed={"moe_layer_freq": 1}, harmless=_USUAL,
        experts=Routed(experts="n_routed_experts", shared="n_shared_experts", sparse=_deepseek_sparse),
    ),
    "bailing_moe": modern(
        "BailingMoe", (30592, 1024, 24, 16, 4096, 32768),
        {"num_key_value_heads": 0, "use_qkv_bias": False, "use_bias": True, "num_experts": 16, "num_shared_experts": 0,
         "num_experts_per_tok": 2, "moe_intermediate_size": None, "first_k_dense_replace": 0},
        fixed={"use_sliding_window": False, "multi_gate": False}, harmless=(*_USUAL, "norm_head", "sliding_window"),
        biases={"qkv": "use_qkv_bias", "o": "use_bias"},
        experts=Routed(experts="num_experts", shared="num_shared_experts", sparse=experts.after_the_first),
    ),
    "phi-msft": Family(
        classes=causal("Phi", bias=True), keys=_PHI,
        reads=_PHI.reads((51200, 1024, 20, 16, None, 2048), n_head_kv=None, tie_word_embeddings=False),
        harmless=(*_USUAL, "flash_attn", "flash_rotary", "fused_dense", "embd_pdrop", "resid_pdrop", "attn_pdrop"),
        norm=Norm(kind="layernorm", place="parallel"), biases=EVERY, d_ff_bias=True, kv_heads=_phi_kv_heads,
    ),
    "Yi": modern("Yi", (64000, 4096, 32, 32, 11008, 4096), NO_BIASES, harmless=_USUAL, classes=causal("Yi") | causal("Llama")),
}
# fmt: on
