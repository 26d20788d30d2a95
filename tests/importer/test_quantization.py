"""`quantization_config` of a config.json: bytes beside those of published checkpoints, of tensors by shape, and of devices."""

from __future__ import annotations

import json
from math import ceil, prod
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run
from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.weights import kept_in, weight_bytes
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.errors import SpecError
from tscale.models.lower import lower
from tscale.models.release import released
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 640, "intermediate_size": 1728,
    "num_attention_heads": 10, "num_key_value_heads": 2, "num_hidden_layers": 3, "vocab_size": 1000,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "torch_dtype": "float16",
}  # fmt: skip
DEEPSEEK: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "num_hidden_layers": 4,
    "first_k_dense_replace": 1, "hidden_size": 256, "intermediate_size": 512, "moe_intermediate_size": 128,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
    "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 64, "q_lora_rank": 96, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16, "v_head_dim": 32, "vocab_size": 1000, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_405B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16384, "intermediate_size": 53248,
    "num_attention_heads": 128, "num_key_value_heads": 8, "num_hidden_layers": 126, "vocab_size": 128256,
    "max_position_embeddings": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
LLAMA_2_70B = LLAMA_405B | {
    "hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_hidden_layers": 80,
    "vocab_size": 32000, "max_position_embeddings": 4096, "torch_dtype": "float16",
}  # fmt: skip


def quantised(config: dict[str, Any], **said: Any) -> ModelSpec:
    return spec_of(config | {"quantization_config": said})


def size_of(spec: ModelSpec, tensor: int = 1) -> int:
    """Bytes of the weights as they are released, of one of the devices that share each layer."""
    formats = released(spec)
    assert formats is not None
    whole = lower(spec)
    return weight_bytes(shard(whole, Parallelism(tensor=tensor)), formats, whole).total


def formats_of(spec: ModelSpec) -> dict[str, list[tuple[str, int]]]:
    """Of each matrix the formats that it is in, with how many copies."""
    formats = released(spec)
    assert formats is not None
    found: dict[str, list[tuple[str, int]]] = {}
    for kept in kept_in(lower(spec), formats):
        found.setdefault(kept.entry.name, []).append((kept.format.name, int(kept.entry.stored)))
    return found


# ---- published checkpoints ----


@pytest.mark.parametrize(("name", "total_size"), [("gpt-oss-120b", 65_248_815_744), ("gpt-oss-20b", 13_761_264_768)])
def test_the_weights_of_gpt_oss_are_to_the_byte_those_of_its_index(name: str, total_size: int) -> None:
    """`metadata.total_size` of model.safetensors.index.json in openai/gpt-oss-120b and -20b."""
    (case,) = (case for case in recorded("cases_experts.jsonl") if case["name"] == name)
    left = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    spec = quantised(case["config"], quant_method="mxfp4", modules_to_not_convert=left)
    assert size_of(spec) == total_size
    assert spec.weights is not None
    assert not spec.weights.unread


@pytest.mark.parametrize(
    ("config", "said", "devices", "gib", "least"),
    [
        # vllm-project/vllm#6746, "Loading model weights took 57.7520 GB" on 8 devices
        (
            LLAMA_405B,
            {
                "quant_method": "fbgemm_fp8",
                "activation_scale_ub": 1200.0,
                "modules_to_not_convert": [
                    *(f"model.layers.{layer}.mlp.{name}_proj" for layer in (0, 125) for name in ("gate", "up", "down")),
                    *(f"model.layers.{layer}.self_attn.{name}_proj" for layer in range(126) for name in "qkvo"),
                ],
            },
            8,
            57.752,
            0.98,
        ),
    ],
)
def test_a_device_holds_what_an_engine_measured(
    config: dict[str, Any], said: dict[str, Any], devices: int, gib: float, least: float
) -> None:
    """Never more than it loaded, and little less: engines pad, and keep buffers beside the weights."""
    ratio = size_of(quantised(config, **said), devices) / (gib * 2**30)
    assert least < ratio <= 1


def test_the_blocks_of_deepseek_v3_are_what_a_device_holds() -> None:
    """79.41 GiB on each of 8 devices (HabanaAI/vllm-fork#809)."""
    (case,) = (case for case in recorded("cases_experts.jsonl") if case["name"].lower() == "deepseek-v3")
    spec = quantised(case["config"], quant_method="fp8", fmt="e4m3", weight_block_size=[128, 128])
    assert size_of(spec, 8) / (79.41 * 2**30) == pytest.approx(1, rel=0.003)


# ---- tensors, one by one, as the methods store them ----

_IN_A_LAYER = {
    "self_attn.q_proj": (640, 640), "self_attn.k_proj": (128, 640), "self_attn.v_proj": (128, 640),
    "self_attn.o_proj": (640, 640), "mlp.gate_proj": (1728, 640), "mlp.up_proj": (1728, 640), "mlp.down_proj": (640, 1728),
}  # fmt: skip
"""Rows and columns [d_out, d_in] of the matrices of a layer of LLAMA."""
_REST = 2 * (2 * 1000 * 640 + (2 * 3 + 1) * 640)


def stored(*tensors: tuple[tuple[int, ...], int]) -> int:
    """Bytes of tensors, each of a shape and of so many bytes a number."""
    return sum(prod(shape) * width for shape, width in tensors)


def _packed(columns: int, rows: int, bits: int) -> tuple[tuple[int, int], int]:
    """Integers packed along columns into words of 32 bits."""
    return ((columns * bits // 32, rows), 4)


def _gptq(rows: int, columns: int, bits: int, group: int) -> int:
    """qweight, qzeros and scales by group, and g_idx: the tensors of a layer of AutoGPTQ."""
    groups = ceil(columns / group)
    return stored(_packed(columns, rows, bits), ((groups, rows * bits // 32), 4), ((groups, rows), 2), ((columns,), 4))


def _awq(rows: int, columns: int, bits: int, group: int) -> int:
    """qweight, qzeros and scales: the tensors of a layer of AutoAWQ."""
    groups = ceil(columns / group)
    return stored(((columns, rows * bits // 32), 4), ((groups, rows * bits // 32), 4), ((groups, rows), 2))


def _blocks(rows: int, columns: int, block: int) -> int:
    """weight in fp8 and weight_scale_inv in fp32, one for each block."""
    return stored(((rows, columns), 1), ((ceil(rows / block), ceil(columns / block)), 4))


def _pack_quantized(rows: int, columns: int, bits: int, group: int, *, symmetric: bool) -> int:
    """weight_packed, weight_scale and, where there are any, weight_zero_point of compressed-tensors."""
    groups = ceil(columns / group)
    zero = 0 if symmetric else stored(((rows * bits // 32, groups), 4))
    return stored(((rows, columns * bits // 32), 4), ((rows, groups), 2)) + zero


def _group(bits: int, group: int | None, *, symmetric: bool = True, kind: str = "int") -> dict[str, Any]:
    strategy = "channel" if group is None else "group"
    weights = {"num_bits": bits, "type": kind, "strategy": strategy, "group_size": group, "symmetric": symmetric}
    return {"targets": ["Linear"], "weights": weights}


_IN = "quantization_config"
_CT = {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"]}
TENSORS: list[tuple[dict[str, Any], Any]] = [
    (
        {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False, "sym": True},
        lambda r, c: _gptq(r, c, 4, 64),
    ),
    ({"quant_method": "gptq", "bits": 8, "group_size": 32, "desc_act": True}, lambda r, c: _gptq(r, c, 8, 32)),
    ({"quant_method": "gptq", "bits": 4, "group_size": -1}, lambda r, c: _gptq(r, c, 4, c)),
    ({"quant_method": "gptq", "bits": 2, "group_size": 128}, lambda r, c: _gptq(r, c, 2, 128)),
    ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}, lambda r, c: _awq(r, c, 4, 64)),
    ({"w_bit": 4, "q_group_size": 128, "zero_point": True, "version": "GEMM"}, lambda r, c: _awq(r, c, 4, 128)),
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, lambda r, c: _blocks(r, c, 128)),
    ({"quant_method": "fp8", "weight_block_size": [64, 64]}, lambda r, c: _blocks(r, c, 64)),
    ({"quant_method": "fp8"}, lambda r, c: r * c),
    ({"quant_method": "fbgemm_fp8"}, lambda r, c: stored(((r, c), 1), ((r, 1), 4))),
    (_CT | {"config_groups": {"g": _group(4, 32)}}, lambda r, c: _pack_quantized(r, c, 4, 32, symmetric=True)),
    (
        _CT | {"config_groups": {"g": _group(4, 64, symmetric=False)}},
        lambda r, c: _pack_quantized(r, c, 4, 64, symmetric=False),
    ),
    (_CT | {"config_groups": {"g": _group(8, None)}}, lambda r, c: stored(((r, c), 1), ((r, 1), 2))),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, lambda r, c: stored(((r, c), 1), ((r,), 4))),
    ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, lambda r, c: r * c // 2 + 4 * r * c // 64),
    (
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]},
        lambda r, c: r * c // 2 + stored(((r, c // 16), 1)),
    ),
    ({"quant_algo": "FP8", "config_groups": {}, "ignore": ["lm_head"]}, lambda r, c: r * c),
    (
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
        lambda r, c: r * c // 2 + 2 * stored(((r * c // 64,), 2)),
    ),
    ({"quant_method": "eetq", "weights": "int8"}, lambda r, c: stored(((r, c), 1), ((r,), 2))),
    ({"quant_method": "quanto", "weights": "int8"}, lambda r, c: stored(((r, c), 1), ((r,), 2))),
    (
        {"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 16, "in_group_size": 8, "out_group_size": 1},
        lambda r, c: stored(((r, c // 8), 2), ((r,), 2), ((2**16, 8), 2)),
    ),
]


@pytest.mark.parametrize(
    ("said", "size"), TENSORS, ids=[f"{n}-{said.get('quant_method', '')}" for n, (said, _) in enumerate(TENSORS)]
)
def test_a_release_is_as_large_as_its_tensors(said: dict[str, Any], size: Any) -> None:
    """Every tensor of every layer by its shape, and embedding, head and norms in 16 bits."""
    expected = 3 * sum(size(rows, columns) for rows, columns in _IN_A_LAYER.values()) + _REST
    assert abs(size_of(quantised(LLAMA, **said)) - expected) <= len(_IN_A_LAYER)  # a byte that is begun


@pytest.mark.parametrize(
    ("group", "published"),
    [(-1, 35.33), (128, 36.65), (64, 37.99), (32, 40.66)],  # Provided Files of TheBloke/Llama-2-70B-GPTQ, recalled
)
def test_gptq_files_are_as_large_as_the_card_says(group: int, published: float) -> None:
    spec = quantised(LLAMA_2_70B, quant_method="gptq", bits=4, group_size=group, desc_act=True)
    assert size_of(spec) / 1e9 == pytest.approx(published, abs=0.03)


# ---- which modules ----

_FP8 = {"quant_method": "fp8"}
_MODELOPT = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
BF16, ATTENTION = "bf16", ("attention.q_down", "attention.q_up", "attention.kv_down", "attention.kv_up", "attention.o")


@pytest.mark.parametrize(
    ("said", "unconverted"),
    [
        (_FP8 | {"modules_to_not_convert": ["self_attn"]}, dict.fromkeys(ATTENTION, 4)),
        (_FP8 | {"ignored_layers": ["model.layers.1.self_attn.o_proj"]}, {"attention.o": 1}),
        (_FP8 | {"modules_to_not_convert": ["model.layers.1"]}, {**dict.fromkeys(ATTENTION, 1), "experts.up": 8}),
        (_FP8 | {"modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]}, {}),
        (_FP8 | {"modules_to_not_convert": ["model.layers.*.mlp.shared_experts"]}, {"experts.shared.up": 3}),
        (_CT | {"config_groups": {"g": _group(4, 32)}, "ignore": ["lm_head", "re:.*self_attn.*"]}, {"attention.o": 4}),
        (
            _CT
            | {
                "config_groups": {"g": _group(4, 32)},
                "ignore": ["lm_head", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"],
            },
            {"feed_forward.up": 1, "feed_forward.down": 1},
        ),
        (_MODELOPT | {"exclude_modules": ["model.layers.2.mlp*"]}, {"experts.up": 8, "experts.shared.down": 1}),
        (_MODELOPT | {"ignore": ["language_model.model.layers.0*"]}, {"attention.o": 1, "feed_forward.up": 1}),
        (
            {"quant_method": "gptq", "bits": 4, "dynamic": {r"-:.*\.2\..*experts.*": {}}},
            {"experts.up": 8, "experts.shared.down": 1},
        ),
        ({"quant_method": "awq", "bits": 4, "modules_to_not_convert": ["kv_b_proj"]}, {"attention.kv_up": 4}),
        ({"load_in_4bit": True, "llm_int8_skip_modules": ["lm_head", "layers.3.mlp"]}, {"experts.down": 8}),
    ],
)
def test_modules_that_a_file_names_stay_in_16_bits(said: dict[str, Any], unconverted: dict[str, int]) -> None:
    """In the layers that it names; routers, embedding and head stay so in any case."""
    spec = quantised(DEEPSEEK, **said)
    found = {name: sum(count for kept, count in kinds if kept == BF16) for name, kinds in formats_of(spec).items()}
    for name, copies in unconverted.items():
        assert found[name] == copies, name
    assert found["experts.router"] == 3
    assert (found["head"], found["embedding.tokens"]) == (1, 1)
    whole = {name: sum(count for _, count in kinds) for name, kinds in formats_of(spec).items()}
    if not unconverted:
        assert all(
            found[name] == 0 for name in whole if name.startswith(("attention.o", "experts.up", "feed_forward."))
        )
    assert spec.weights is not None
    assert not spec.weights.unread


@pytest.mark.parametrize(
    ("said", "format"),
    [
        ({"quant_method": "gptq", "bits": 4, "lm_head": True}, "int4-g128-gidx"),
        (_CT | {"config_groups": {"g": _group(8, None)}, "ignore": []}, "int8-row-sym"),
        (_CT | {"config_groups": {"g": _group(8, None)}}, "fp16"),
        ({"quant_method": "fp8"}, "fp16"),
    ],
)
def test_the_head_is_converted_where_the_method_does_so(said: dict[str, Any], format: str) -> None:
    assert formats_of(quantised(LLAMA, **said))["head"] == [(format, 1)]


def test_groups_of_modules_have_formats_of_their_own() -> None:
    """Two groups of compressed-tensors, GPTQ's exceptions of other bits, and modelopt's layers each."""
    groups = {"a": _group(8, None) | {"targets": ["re:.*self_attn.*"]}, "b": _group(4, 32)}
    mixed = formats_of(quantised(LLAMA, **_CT, config_groups=groups))
    assert mixed["attention.q"] == [("int8-row-sym", 3)]
    assert mixed["feed_forward.up"] == [("int4-g32-sym", 3)]
    wider = {r"+:.*\.1\..*down_proj.*": {"bits": 8}}
    down = formats_of(quantised(LLAMA, quant_method="gptq", bits=4, dynamic=wider))["feed_forward.down"]
    assert sorted(down) == [("int4-g128-gidx", 2), ("int8-g128-gidx", 1)]
    layers = {
        "model.layers.2.mlp.up_proj": {"quant_algo": "NVFP4"},
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
    }
    own = formats_of(quantised(LLAMA, quant_method="modelopt", quant_algo="MIXED_PRECISION", quantized_layers=layers))
    assert sorted(own["feed_forward.up"]) == [("fp16", 2), ("nvfp4", 1)]
    assert sorted(own["attention.q"]) == [("fp16", 2), ("fp8", 1)]


def test_mlx_converts_tables_too() -> None:
    spec = spec_of(LLAMA | {"quantization": {"group_size": 64, "bits": 4}})
    found = formats_of(spec)
    assert {found[name][0][0] for name in ("embedding.tokens", "head", "attention.q")} == {"int4-g64-z16"}
    assert found["norm.final"] == [("fp16", 1)]


def test_a_dense_network_beside_experts_is_told_from_them() -> None:
    """In Gemma 4 `mlp` is the dense network beside `experts`, which other families have inside of `mlp`."""
    config: dict[str, Any] = {
        "model_type": "gemma4_text",
        "architectures": ["Gemma4ForCausalLM"],
        "num_hidden_layers": 6,
    }
    config |= {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 64}
    left = [f"model.layers.{layer}.mlp*" for layer in range(6)]
    found = formats_of(quantised(config, **_MODELOPT, ignore=left))
    assert all(format == BF16 for format, _ in found["experts.shared.up"])
    assert all(format != BF16 for format, _ in found["experts.up"])


@pytest.mark.parametrize("inside", [False, True])
def test_a_wrapper_of_a_text_model_says_it_outside_or_inside(inside: bool) -> None:
    whole = next(line["config"] for line in recorded("nested.jsonl") if line["config"]["model_type"] == "qwen3_vl")
    said = {
        "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["visual", "model.visual.blocks.0"]}
    }
    config = whole | {"text_config": whole["text_config"] | said} if inside else whole | said
    weights = spec_of(config).weights
    assert weights is not None
    assert (weights.format, weights.unread) == ("fp8", ())


# ---- what is not read is said ----


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"quant_method": "vptq"}, 'quantization_config: the method "vptq" is not read here'),
        ({"quant_method": "exl2", "bits": 4.65}, 'quantization_config: the method "exl2" is not read here'),
        ({"something": 1}, "quantization_config: it names no method"),
        (
            {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
            "quantization_config: it does not say which layers are in which format",
        ),
        (
            {"quant_method": "torchao", "quant_type": "autoquant"},
            'quantization_config: torchao\'s "autoquant" is not read here',
        ),
        (
            {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.1.self_attn.zz_proj"]},
            'quantization_config: no matrix is known here by the name of "model.layers.1.self_attn.zz_proj", so that this '
            "exception is not counted",
        ),
        (
            _CT | {"config_groups": {"g": _group(4, 32)}, "ignore": ["re:(?!lm_head).*"]},
            'the expression "re:(?!lm_head).*" is not read here',
        ),
        (
            _CT | {"config_groups": {"g": _group(4, 32)}, "ignore": [f"re:a{{{n}}}" for n in range(5)]},
            'the expressions "re:a{0}", "re:a{1}", "re:a{2}" and 2 more are not read here',
        ),
        (_CT | {"config_groups": {"g": {"targets": ["Linear"]}}}, f"{_IN}.config_groups.g: it says nothing of weights"),
        ({}, "quantization_config: it names no method"),
        ({"quant_method": "mlx", "bits": 4, "mode": "weird"}, 'quantization_config: the mode "weird" is not read here'),
        ({"quant_method": "mlx", "bits": 4, "lm_head": 5}, "quantization_config.lm_head: 5 is not read here"),
        (_FP8 | {"kv_cache_scheme": "zzz"}, f'{_IN}.kv_cache_scheme: a cache in "zzz" is not read here'),
        (
            _FP8 | {"kv_cache_scheme": {"type": "int", "num_bits": 4}},
            f'{_IN}.kv_cache_scheme: a cache in "int of 4 bits" is not read here',
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "INT4"},
            f'{_IN}.kv_cache_quant_algo: a cache in "INT4" is not read here',
        ),
        (
            {"quant_method": "modelopt", "quantized_layers": {"model.layers.0.mlp": {"quant_algo": "W1A1"}}},
            f'{_IN}.quantized_layers: the algorithm "W1A1" is not read here',
        ),
        (
            {"quant_method": "auto-round", "bits": 4, "data_type": "mx_fp"},
            'quantization_config: weights in "mx_fp" are not read here',
        ),
    ],
)
def test_what_is_not_read_is_said_first_and_what_rests_on_it_is_assumed(
    tmp_path: Path, said: dict[str, Any], text: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA | {"quantization_config": said}))
    shown = " ".join(run("memory", str(file)).out.split())
    assert f"Not read, and counted in fp16 as if it were not there: {text}." in shown.partition(" holds ")[0]
    data = answer("memory", str(file))
    assert data["dtype_unread"] == [text]
    assert data["figures"]["per_device_bytes.weights"]["known"] == "assumed"


@pytest.mark.parametrize(
    "text, unread",
    [
        ("(a+)+$", 1),  # read, and about no matrix
        ("(.*)*j", 0),  # about q_proj and its like
        (".*.*.*.*.*j", 0),
        ("(?=.*a)b", 1),
        ("[", 1),
        ("a" * 400, 1),
    ],
)
def test_an_expression_is_matched_in_a_bounded_time_or_not_read(text: str, unread: int) -> None:
    """Each of the first three takes a matcher that backtracks for ever."""
    weights = quantised(LLAMA, **_CT | {"config_groups": {"g": _group(4, 32)}, "ignore": [f"re:{text}"]}).weights
    assert weights is not None
    assert len(weights.unread) == unread


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("re:.*self_attn.*", [0, 1, 2]),
        (r"re:.*layers\.[12]\..*self_attn.*", [1, 2]),
        (r"re:(model\.)?layers\.(0|2)\.self_attn\.(q|k|v|o)_proj$", [0, 2]),
        ("re:model.layers...self_attn.*", [0, 1, 2]),
        ("re:model.layers....self_attn.*", []),
        ("re:model.layers..{0,1}self_attn", None),
        ("model.layers.[0-1].self_attn.*", [0, 1]),
    ],
)
def test_an_expression_is_about_the_layers_that_it_matches(text: str, kept: list[int] | None) -> None:
    """Of a point for a character, one of two digits is none: the three layers here have one each."""
    weights = quantised(LLAMA, **_CT | {"config_groups": {"g": _group(4, 32)}, "ignore": ["lm_head", text]}).weights
    assert weights is not None
    every = tuple(range(LLAMA["num_hidden_layers"]))
    layers = [rule.layers for rule in weights.rules if rule.parts == ("attention",)]
    assert [every if one is None else one for one in layers] == ([tuple(kept)] if kept else [])


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"quant_method": "fp8", "weight_block_size": [True, 128]}, "weight_block_size must be two whole numbers from 1 to 999999, not [true, 128]"),
        ({"quant_method": "fp8", "weight_block_size": [1000000, 1]}, "weight_block_size must be two whole numbers from 1 to 999999, not [1000000, 1]"),
        ({"quant_method": "fp8", "kv_cache_scheme": 5}, "kv_cache_scheme must be text or an object, not 5"),
        ({"quant_method": "gptq", "group_size": 0}, "group_size must be -1 or a whole number from 1 to 999999, not 0"),
        ({"quant_method": "gptq", "dynamic": {"-:.*": 5}}, "dynamic.-:.* must be an object, not 5"),
        (
            {"quant_method": "gptq", "modules_in_block_to_quantize": "abc"},
            'modules_in_block_to_quantize must be a list of words, or of lists of them, not "abc"',
        ),
        (
            {"quant_method": "gptq", "modules_in_block_to_quantize": [["a"], 5]},
            "modules_in_block_to_quantize must be a list of words, or of lists of them, not a list",
        ),
        ({"quant_method": "auto-round", "extra_config": {"a.b": 5}}, "extra_config.a.b must be an object, not 5"),
        (
            {"quant_method": "auto-round", "extra_config": {"a.b": {"bits": -1}}},
            "extra_config.a.b.bits must be one of 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, not -1",
        ),
        (_CT | {"config_groups": {"g": 5}}, "config_groups.g must be an object, not 5"),
        (
            _CT | {"config_groups": {"g": {"weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": ["a", -1]}}}},
            'config_groups.g.weights.block_structure must be two whole numbers from 1 to 999999, not ["a", -1]',
        ),
        (
            _CT | {"config_groups": {"g": {"weights": {"num_bits": 8, "type": "float", "strategy": "group", "group_size": -1}}}},
            "config_groups.g.weights.group_size must be a whole number from 1 to 999999, not -1",
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": True},
            "load_in_8bit must be false beside load_in_4bit, not true",
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "zzz"},
            'bnb_4bit_quant_type must be fp4 or nf4, not "zzz"',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_told_by_its_own_key(said: dict[str, Any], text: str) -> None:
    """Never by the format that it would have come to, which is in no file of the user's."""
    with pytest.raises(SpecError) as caught:
        quantised(LLAMA, **said)
    assert str(caught.value).partition("quantization_config.")[2] == text


def test_a_key_that_is_a_module_is_told_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    said = {"quant_method": "auto-round", "bits": 4, "extra_config": {"model.layers.0.mlp": {"bits": 99}}}
    file.write_text(json.dumps(LLAMA | {"quantization_config": said}, indent=1))
    line = 1 + file.read_text().splitlines().index('   "model.layers.0.mlp": {')
    assert run("memory", str(file)).err.startswith(f"tscale: {file}:{line}:4: quantization_config.extra_config.")


def test_what_a_file_calls_things_is_written_as_a_spec_that_validates(tmp_path: Path) -> None:
    """Names with line breaks would be no line of a table."""
    said = {"quant_method": "a\nb", "c": 1}
    spec = quantised(LLAMA, **said)
    assert spec.weights is not None
    assert spec.weights.method == "a b"
    assert validated(parse_document(to_yaml(spec), "x")) == spec


# ---- in files and answers ----


def test_a_spec_keeps_its_formats_in_yaml() -> None:
    said = _FP8 | {
        "modules_to_not_convert": ["model.layers.1.mlp", "lm_head"],
        "kv_cache_scheme": {"num_bits": 8, "type": "float"},
    }
    spec = quantised(LLAMA, **said)
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec
    assert spec.weights is not None
    assert (spec.weights.method, spec.weights.cache, spec.weights.rest) == ("fp8", "fp8", "fp16")
    (rule,) = spec.weights.rules
    assert (rule.format, rule.parts, rule.layers) == ("fp16", ("feed_forward",), (1,))


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    said = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.1.mlp"], "kv_cache_scheme": "FP8"}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA | {"quantization_config": said}))
    return str(file)


def test_memory_answers_at_the_formats_of_the_file_and_says_so_first(file: str) -> None:
    lines = run("memory", file, columns=200).out.splitlines()
    assert lines[1:3] == [
        "Weights as released (fp8): matrices of layers in fp8 but for feed_forward of layer 1; all else in fp16. --dtype "
        "overrides that.",
        "The cache is in fp8, as the release says; --cache-dtype overrides that.",
    ]
    data = answer("memory", file)
    assert (data["dtype"], data["dtype_source"], data["dtype_method"], data["cache_dtype"]) == (
        "fp8",
        "release",
        "fp8",
        "fp8",
    )
    sizes = {line["name"]: line["bytes"] for line in data["lines"]}
    assert sizes["feed_forward.up in fp8"] == 2 * 640 * 1728
    assert sizes["feed_forward.up in fp16"] == 2 * 640 * 1728
    assert sum(sizes.values()) == data["per_device_bytes"]["total"]


def test_dtype_overrides_a_release_and_says_so(file: str) -> None:
    shown = run("memory", file, "--dtype", "bf16", columns=200).out.splitlines()
    assert shown[1] == "--dtype bf16 overrides the release, whose weights are in fp8, and its cache in fp8."
    shown = run("memory", file, "--cache-dtype", "bf16", columns=200).out.splitlines()
    assert shown[2] == "--cache-dtype bf16 overrides the release, whose cache is in fp8."
    assert answer("memory", file, "--dtype", "bf16")["dtype_source"] == "asked"


def test_serving_reads_each_layer_in_its_own_format(file: str) -> None:
    """Of three layers one has a feed-forward in 16 bits: a step reads twice as many bytes of it, and multiplies as often."""
    data = answer("serve", file, "--gpu", "h100")
    lines = {line["name"]: line for line in data["decode"]}
    converted, left = lines["feed_forward.up in fp8"], lines["feed_forward.up in fp16"]
    assert converted["weight_bytes"] == left["weight_bytes"] == 2 * 640 * 1728
    assert converted["flops"] == 2 * left["flops"] == 2 * 2 * 640 * 1728
    assert data["weight_bytes"] == answer("memory", file)["per_device_bytes"]["weights"]
    assert (data["dtype"], data["cache_dtype"]) == ("fp8", "fp8")


def test_training_is_not_in_the_formats_of_a_release(file: str) -> None:
    plain = file.replace("config.json", "plain.json")
    Path(plain).write_text(json.dumps(LLAMA))
    both = [answer("memory", name, "--train") for name in (file, plain)]
    assert both[0]["per_device_bytes"] == both[1]["per_device_bytes"]
    assert any("is released in fp8; training is counted in bf16" in note for note in both[0]["notes"])


def test_a_rule_about_what_a_model_does_not_have_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        to_yaml(quantised(LLAMA, **_FP8, modules_to_not_convert=["self_attn"])).replace("- attention", "- atention")
    )
    assert run("memory", str(file)).err == (
        f'tscale: {file}:26:7: weights.rules.0.parts.0: no matrix or table of the model is called "atention": '
        "did you mean attention?\n"
    )


def test_devices_share_blocks_whole() -> None:
    """A scale of 32 bits for each block of 128 by 128 on each side of a cut."""
    spec = quantised(LLAMA, quant_method="fp8", weight_block_size=[128, 128])
    formats = released(spec)
    assert formats is not None
    whole: Ledger = lower(spec)
    share = {kept.entry.name: kept.bytes for kept in kept_in(shard(whole, Parallelism(tensor=2)), formats, whole)}
    assert share["feed_forward.down"] == 3 * _blocks(640, 864, 128)
    assert share["attention.q"] == 3 * _blocks(320, 640, 128)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("fp8", 'quantization_config must be an object, not "fp8"'),
        ({"quant_method": "gptq", "bits": 5}, "quantization_config.bits must be one of 2, 3, 4, 8, not 5"),
        ({"quant_method": "awq", "bits": "4"}, 'quantization_config.bits must be one of 2, 3, 4, 8, not "4"'),
        (
            {"quant_method": "gptq", "group_size": 0},
            "quantization_config.group_size must be -1 or a whole number from 1 to 999999, not 0",
        ),
        ({"quant_method": "gptq", "lm_head": 1}, "quantization_config.lm_head must be true or false, not 1"),
        (
            {"quant_method": "fp8", "modules_to_not_convert": "lm_head"},
            'quantization_config.modules_to_not_convert must be a list of words, not "lm_head"',
        ),
        (
            {"quant_method": "fp8", "weight_block_size": [128]},
            "quantization_config.weight_block_size must be two whole numbers from 1 to 999999, not [128]",
        ),
        ({"quant_method": 8}, "quantization_config.quant_method must be text, not 8"),
        (
            {"quant_method": "compressed-tensors", "config_groups": []},
            "quantization_config.config_groups must be an object, not a list",
        ),
    ],
)
def test_what_is_mistyped_is_refused(said: Any, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(LLAMA | {"quantization_config": said})
    assert str(caught.value) == f"config.json: {text}"
