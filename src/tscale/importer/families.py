"""The model families whose `config.json` can be read: one row each, with all that the file itself does not say.

A row's first column is the name that its classes begin with. Sizes stand in the order of `Keys`: vocabulary, d_model,
layers, heads, d_ff, context; they and the other values are what the class takes for a key that is absent. Read from the
classes of transformers 5.23.0.
"""

from __future__ import annotations

from typing import Any, Final

from tscale.blocks import Computed, Learned, Norm
from tscale.importer import family_rules as rules
from tscale.importer.families_2026 import NEW, NEW_NESTED
from tscale.importer.families_encoders import FURTHER, TO_TEXT
from tscale.importer.families_experts import EXPERTS, NORMED
from tscale.importer.families_experts import NESTED as _FIRST_NESTED
from tscale.importer.families_hybrids import HYBRIDS
from tscale.importer.families_kinds import SEVERAL
from tscale.importer.families_mixers import MIXED
from tscale.importer.families_more import DECODERS, INSIDE, MORE_EXPERTS
from tscale.importer.families_nested import BOTH, HEARING, SEEING
from tscale.importer.families_remote import REMOTE
from tscale.importer.family import Family, Keys, Nested
from tscale.importer.family_rows import BARE as _BARE
from tscale.importer.family_rows import BIG as _BIG
from tscale.importer.family_rows import DISCRIMINATOR as _DISCRIMINATOR
from tscale.importer.family_rows import EVERY as _EVERY
from tscale.importer.family_rows import LAYER as _LAYER
from tscale.importer.family_rows import LEARNED as _LEARNED
from tscale.importer.family_rows import MASKED as _MASKED
from tscale.importer.family_rows import NEEDED
from tscale.importer.family_rows import NO_BIASES as _NO_BIASES
from tscale.importer.family_rows import POOLED as _POOLED
from tscale.importer.family_rows import PRETRAINING as _PRETRAINING
from tscale.importer.family_rows import SANDWICH as _SANDWICH
from tscale.importer.family_rows import SEGMENTS as _SEGMENTS
from tscale.importer.family_rows import TIED as _TIED
from tscale.importer.family_rows import bart as _bart
from tscale.importer.family_rows import causal as _causal
from tscale.importer.family_rows import encoder as _encoder
from tscale.importer.family_rows import modern as _modern
from tscale.importer.family_rows import t5 as _t5

__all__ = ["ALSO", "FAMILIES", "NEEDED", "NESTED", "NOT_YET"]

_ONE_BIAS_FREE: Final = Norm(kind="layernorm", place="parallel", bias=False)
_GLM: Final[dict[str, object]] = {"num_key_value_heads": 2, "head_dim": 128, "attention_bias": True}

# fmt: off
MODERN: Final[dict[str, Family]] = {
    "llama": _modern("Llama", (32000, 4096, 32, 32, 11008, 2048), _NO_BIASES),
    "mistral": _modern(
        "Mistral", (32000, 4096, 32, 32, 14336, 131072), {"num_key_value_heads": 8, "sliding_window": 4096},
        null=("num_key_value_heads", "sliding_window"), sight=rules.window,
    ),
    "qwen2": _modern(
        "Qwen2", (151936, 4096, 32, 32, 22016, 32768),
        {"num_key_value_heads": 32, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28,
         "layer_types": None}, null=("num_key_value_heads",), biases={"qkv": True}, sight=rules.qwen2_sight,
    ),
    "gemma": _modern(
        "Gemma", (256000, 3072, 28, 16, 24576, 8192),
        {"num_key_value_heads": 16, "head_dim": 256, "attention_bias": False, "tie_word_embeddings": True},
    ),
    "gemma2": _modern(
        "Gemma2", (256000, 2304, 26, 8, 9216, 8192),
        {"num_key_value_heads": 4, "head_dim": 256, "attention_bias": False, "tie_word_embeddings": True,
         "sliding_window": 4096, "layer_types": None}, null=("sliding_window",),
        aliases={"sliding_window_size": "sliding_window"}, norm=_SANDWICH, sight=rules.gemma2_sight,
    ),
    "phi": _modern(
        "Phi", (51200, 2048, 24, 32, 8192, 2048), {"qk_layernorm": False}, classes=_causal("Phi", bias=True),
        qk_norm="head", qk_norm_if="qk_layernorm", qk_norm_bias=True, head_dim=rules.phi_head_dim,
        norm=Norm(kind="layernorm", place="parallel"), biases=_EVERY, d_ff_bias=True, gated=False,
    ),
    "phi3": _modern(
        "Phi3", (32064, 3072, 32, 32, 8192, 4096), {"sliding_window": None},
        fixed={"full_attn_mod": 1, "interpolate_factor": 1}, sight=rules.window,
    ),
    "granite": _modern("Granite", (32000, 4096, 32, 32, 11008, 2048), _NO_BIASES),
    "cohere": _modern(
        "Cohere", (256000, 8192, 40, 64, 22528, 8192),
        {"attention_bias": False, "tie_word_embeddings": True, "use_qk_norm": False}, qk_norm="full",
        qk_norm_if="use_qk_norm", norm=_ONE_BIAS_FREE,
    ),
    "cohere2": _modern(
        "Cohere2", (256000, 8192, 40, 64, 22528, 8192),
        {"attention_bias": False, "tie_word_embeddings": True, "sliding_window": 4096, "sliding_window_pattern": 4,
         "layer_types": None}, null=("sliding_window",),
        aliases={"_sliding_window_pattern": "sliding_window_pattern", "layer_switch": "sliding_window_pattern"},
        fixed={"use_qk_norm": False, "use_gated_activation": True, "use_parallel_block": True,
               "use_parallel_embedding": True, "use_embedding_sharing": True, "position_embedding_type": "rope_gptj",
               "order_of_interleaved_layers": "local_attn_first"}, norm=_ONE_BIAS_FREE, head_dim=rules.exact_head_dim,
        sight=rules.cohere2_sight,
    ),
    "glm": _modern("Glm", (151552, 4096, 40, 32, 13696, 131072), _GLM, biases={"qkv": "attention_bias"}),
    "glm4": _modern(
        "Glm4", (151552, 4096, 40, 32, 13696, 131072), _GLM, biases={"qkv": "attention_bias"}, norm=_SANDWICH,
    ),
    "nemotron": _modern(
        "Nemotron", (256000, 6144, 32, 48, 24576, 4096), {**_NO_BIASES, "num_key_value_heads": NEEDED}, norm=_LAYER,
        gated=False,
    ),
    "smollm3": _modern(
        "SmolLM3", (128256, 2048, 36, 16, 11008, 32768),
        {**_NO_BIASES, "num_key_value_heads": 4, "tie_word_embeddings": True, "use_sliding_window": False,
         "sliding_window": None, "no_rope_layers": None, "no_rope_layer_interval": 4, "max_window_layers": 28,
         "layer_types": None},
        null=("num_key_value_heads",), sight=rules.smollm3_sight,
    ),
    "seed_oss": _modern(
        "SeedOss", (155136, 4096, 64, 80, 27648, 524288),
        {"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True, "attention_out_bias": False,
         "mlp_bias": False}, null=("num_key_value_heads", "head_dim"),
        biases={"qkv": "attention_bias", "o": "attention_out_bias"},
    ),
    "arcee": _modern("Arcee", (32000, 2560, 32, 32, 18432, 4096), _NO_BIASES, gated=False),
    "ernie4_5": _modern(
        "Ernie4_5", (103424, 1024, 18, 16, 3072, 131072),
        {"num_key_value_heads": 2, "head_dim": 128, "use_bias": False, "tie_word_embeddings": True},
        null=("num_key_value_heads", "head_dim"), biases={"qkvo": "use_bias"}, d_ff_bias="use_bias",
    ),
    "helium": _modern(
        "Helium", (48000, 2560, 24, 20, 7040, 4096), {**_NO_BIASES, "num_key_value_heads": 20, "head_dim": 128},
        biases={"qkv": "attention_bias"}, head_dim=rules.exact_head_dim,
    ),
    # whatever use_norm_bias says, its norms have biases
    "stablelm": _modern(
        "StableLm", (50304, 2560, 32, 32, 6912, 4096),
        {"num_key_value_heads": 32, "use_qkv_bias": False, "use_parallel_residual": False, "qk_layernorm": False},
        qk_norm="full", qk_norm_if="qk_layernorm", norm=rules.stablelm_norm, biases={"qkv": "use_qkv_bias"},
        head_dim=rules.exact_head_dim,
    ),
    "olmo": _modern(
        "Olmo", (50304, 4096, 32, 32, 11008, 2048), {"attention_bias": False},
        norm=Norm(kind="layernorm", bias=False, gain=False),
    ),
    "starcoder2": _modern(
        "Starcoder2", (49152, 3072, 30, 24, 12288, 4096),
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "use_bias": True, "sliding_window": None},
        fixed={"norm_type": "layer_norm", "mlp_type": "default"}, norm=_LAYER, biases={"qkvo": "use_bias"},
        d_ff_bias="use_bias", gated=False, sight=rules.window,
    ),
    # two norms a layer, whether its sub-layers run side by side or not
    "gpt_neox": _modern(
        "GPTNeoX", (50432, 6144, 44, 64, 24576, 2048), {"attention_bias": True, "use_parallel_residual": True},
        norm=_LAYER, d_ff_bias=True, gated=False, kv_heads=rules.all_kv_heads, head_dim=rules.exact_head_dim,
    ),
}
# fmt: on


# ---- other decoders: ungated, with biases and a LayerNorm where nothing else is said ----


def _decoder(prefix: str, keys: Keys, sizes: tuple[object, ...], reads: dict[str, object], **columns: Any) -> Family:
    names = {"num_hidden_layers": keys.layers, "num_attention_heads": keys.heads, "hidden_size": keys.d_model}
    usual: dict[str, Any] = {"classes": _causal(prefix), "norm": _LAYER, "biases": _EVERY, "d_ff_bias": True}
    columns["aliases"] = {key: own for key, own in names.items() if key != own} | columns.get("aliases", {})
    return Family(**(usual | columns), keys=keys, reads=keys.reads(sizes, **(_TIED | reads)))


_GPT: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff="n_inner", context="n_positions")
_GPT1: Final = Keys(d_model="n_embd", layers="n_layer", heads="n_head", d_ff=None, context="n_positions")
_GPT_NEO: Final = Keys(layers="num_layers", heads="num_heads")
_BLOOM: Final = Keys(layers="n_layer", heads="n_head", d_ff=None, context="seq_length")
_MPT: Final = Keys(d_model="d_model", layers="n_layers", heads="n_heads", d_ff=None, context="max_seq_len")
_XGLM: Final = Keys(d_model="d_model", layers="num_layers", heads="attention_heads", d_ff="ffn_dim")
_POSITIONS: Final = {"max_position_embeddings": "n_positions"}
_EMBED: Final = {"n_embed": "hidden_size"}
_LM: Final = "LMHeadModel"

# fmt: off
OTHERS: Final[dict[str, Family]] = {
    "gpt2": _decoder(
        "GPT2", _GPT, (50257, 768, 12, 12, None, 1024), {}, classes=_causal("GPT2", suffix=_LM), aliases=_POSITIONS,
        positions=Learned(),
    ),
    "openai-gpt": _decoder(
        "OpenAIGPT", _GPT1, (40478, 768, 12, 12, 512), {}, classes=_causal("OpenAIGPT", suffix=_LM), aliases=_POSITIONS,
        positions=Learned(), norm=Norm(kind="layernorm", place="post"),
    ),
    "gpt_neo": _decoder(
        "GPTNeo", _GPT_NEO, (50257, 2048, 24, 16, None, 2048),
        {"window_size": 256, "attention_types": [[["global", "local"], 12]], "attention_layers": None},
        positions=Learned(), biases={"o": True}, sight=rules.gpt_neo_sight,
    ),
    "gptj": _decoder(
        "GPTJ", _GPT, (50400, 4096, 28, 16, None, 2048), {"tie_word_embeddings": False}, aliases=_POSITIONS,
        classes=_causal("GPTJ", bias=True), norm=Norm(kind="layernorm", place="parallel"), biases={},
    ),
    "codegen": _decoder(
        "CodeGen", _GPT, (50400, 4096, 28, 16, None, 2048), {"tie_word_embeddings": False}, aliases=_POSITIONS,
        classes=_causal("CodeGen", bias=True), norm=Norm(kind="layernorm", place="parallel"), biases={},
    ),
    "gpt_bigcode": _decoder(
        "GPTBigCode", _GPT, (50257, 768, 12, 12, None, 1024), {"multi_query": True, "num_key_value_heads": None},
        aliases=_POSITIONS, positions=Learned(), kv_heads=rules.bigcode_kv_heads,
    ),
    "opt": _decoder(
        "OPT", Keys(d_ff="ffn_dim"), (50272, 768, 12, 12, 3072, 2048),
        {"word_embed_proj_dim": None, "enable_bias": True, "do_layer_norm_before": True,
         "_remove_final_layer_norm": False, "layer_norm_elementwise_affine": True}, norm=rules.opt_norm,
        positions=rules.table_and_two, biases={"qkvo": "enable_bias"}, d_ff_bias="enable_bias",
        embedding=rules.opt_embedding,
    ),
    "bloom": _decoder(
        "Bloom", _BLOOM, (250880, NEEDED, NEEDED, NEEDED, None), {}, aliases=_EMBED, fixed={"n_inner": None},
        norm=Norm(kind="layernorm", embedding=True), positions=Computed(kind="alibi"),
    ),
    "falcon": _decoder(
        "Falcon", Keys(d_ff="ffn_hidden_size"), (65024, 4544, 32, 71, None, 2048),
        {"num_kv_heads": None, "multi_query": True, "new_decoder_architecture": False, "parallel_attn": True,
         "num_ln_in_parallel_attn": None, "bias": False, "alibi": False}, aliases=_EMBED, norm=rules.falcon_norm,
        positions=rules.falcon_positions, biases={"qkvo": "bias"}, d_ff_bias="bias", kv_heads=rules.falcon_kv_heads,
    ),
    "mpt": _decoder(
        "Mpt", _MPT, (50368, 2048, 24, 16, 2048), {"attn_config": None},
        fixed={"no_bias": True, "expansion_ratio": 4, "norm_type": "low_precision_layernorm"},
        norm=Norm(kind="layernorm", bias=False), positions=rules.mpt_positions, biases={}, d_ff_bias=False,
    ),
    "biogpt": _decoder("BioGpt", Keys(), (42384, 1024, 24, 16, 4096, 1024), {}, positions=rules.table_and_two),
    "xglm": _decoder("XGLM", _XGLM, (256008, 1024, 24, 16, 4096, 2048), {}, positions=Computed(kind="sinusoidal")),
}
# fmt: on


# ---- encoders: post-norm, with biases and a norm behind the embedding ----


_DISTILBERT: Final = Keys(d_model="dim", layers="n_layers", heads="n_heads", d_ff="hidden_dim")

# fmt: off
ENCODERS: Final[dict[str, Family]] = {
    "bert": _encoder(
        "Bert", Keys(), (30522, 768, 12, 12, 3072, 512), _SEGMENTS, embedding=rules.segments,
        classes={"BertForMaskedLM": _MASKED, "BertForPreTraining": _PRETRAINING, "BertModel": _POOLED},
    ),
    "roberta": _encoder(
        "Roberta", Keys(), (50265, 768, 12, 12, 3072, 512), _SEGMENTS, embedding=rules.segments, pooler=True,
        unread_rows=2,
    ),
    "xlm-roberta": _encoder(
        "XLMRoberta", Keys(), (30522, 768, 12, 12, 3072, 512), _SEGMENTS, embedding=rules.segments, pooler=True,
        unread_rows=2,
    ),
    "distilbert": _encoder(
        "DistilBert", _DISTILBERT, (30522, 768, 6, 12, 3072, 512), {}, fixed=_TIED | {"sinusoidal_pos_embds": False},
        aliases={"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
    ),
    "electra": _encoder(
        "Electra", Keys(), (30522, 256, 12, 4, 1024, 512), _SEGMENTS | {"embedding_size": 128},
        embedding=rules.electra_embedding,
        classes={"ElectraForPreTraining": _DISCRIMINATOR, "ElectraForMaskedLM": _MASKED, "ElectraModel": _BARE},
    ),
}
# fmt: on


# ---- encoder-decoders ----

_STATIC: Final[dict[str, object]] = {"static_position_embeddings": True}

# fmt: off
ENCODER_DECODERS: Final[dict[str, Family]] = {
    "t5": _t5("T5", (32128, 512, 6, 8, 2048), "relu"),
    "mt5": _t5("MT5", (250112, 512, 8, 6, 1024), "gated-gelu"),
    "umt5": _t5("UMT5", (250112, 512, 8, 6, 1024), "gated-gelu", positions=rules.relative_bias_per_layer),
    "bart": _bart(
        "Bart", (50265, 1024, 12, 16, 4096, 1024), _BIG, Norm(kind="layernorm", place="post", embedding=True),
        positions=rules.table_and_two, fixed=_LEARNED | {"extra_pos_embeddings": 2},
    ),
    "mbart": _bart(
        "MBart", (50265, 1024, 12, 16, 4096, 1024), _BIG, Norm(kind="layernorm", embedding=True),
        positions=rules.table_and_two, fixed=_LEARNED | {"extra_pos_embeddings": 2},
    ),
    "blenderbot": _bart(
        "Blenderbot", (8008, 2560, 24, 32, 10240, 128), (2, 32, 10240), _LAYER, positions=rules.table,
        fixed=_LEARNED | {"extra_pos_embeddings": 0, "layernorm_variant": "prelayernorm"},
    ),
    "m2m_100": _bart("M2M100", (128112, 1024, 12, 16, 4096, 1024), _BIG, _LAYER, positions=Computed(kind="sinusoidal")),
    "pegasus": _bart("Pegasus", (50265, 1024, 12, 16, 4096, 1024), _BIG, _LAYER, positions=rules.sines, fixed=_STATIC),
    "marian": _bart(
        "Marian", (58101, 1024, 12, 16, 4096, 1024), _BIG, Norm(kind="layernorm", place="post"),
        classes=_causal("Marian", suffix="MTModel"), positions=rules.sines,
        fixed=_STATIC | {"share_encoder_decoder_embeddings": True}, reads={"decoder_vocab_size": None},
        encoder=rules.marian_encoder,
    ),
}
# fmt: on

MORE: Final[dict[str, Family]] = DECODERS | MORE_EXPERTS | INSIDE | HYBRIDS | SEVERAL
FAMILIES: Final[dict[str, Family]] = (
    MODERN | NORMED | EXPERTS | OTHERS | ENCODERS | ENCODER_DECODERS | MIXED | MORE | FURTHER | TO_TEXT | REMOTE | NEW
)
NESTED: Final[dict[str, Nested]] = _FIRST_NESTED | SEEING | HEARING | BOTH | NEW_NESTED

ALSO: Final = {"kimi_k2": "deepseek_v3"}
"""Names that the release does not know but in one place, where it reads them as another family's."""

_REASONS: Final = {
    "its kind of attention is not supported": "led prophetnet bigbird_pegasus longt5 pegasus_x funnel",
    "its kind of token mixing is not supported": "mobilebert convbert squeezebert nystromformer yoso",
    "its layers have adapters": "xmod",
    "some of its layers attend to images": "idefics",
    "its layers look up hashed groups of words": "qwen4_exp qwen4_exp_text",
    "its class builds matrices for experts that compute nothing, which published files do not have": "longcat_flash",
    "its layers read an encoder of bytes": "blt",
    "its head and its text model take their sizes from different keys": "ovis2",
}
NOT_YET: Final = {name: reason for reason, names in _REASONS.items() for name in names.split()}
"""Families that are known, and why they cannot be read yet."""
