"""Weights in llama.cpp's mixtures, beside the files that were published of them."""

from __future__ import annotations

from math import floor
from typing import Final

import pytest

from tests.helpers import answer, of_each
from tscale.catalogue.models import built_in, names
from tscale.core.costs.params import params
from tscale.core.costs.weights import Mixture, kept_in, weight_bytes
from tscale.core.dtypes import DTYPES, find_format
from tscale.core.gguf_mixtures import MIXES, Shape, type_of
from tscale.estimates.release import format_of
from tscale.importer.reader import imported
from tscale.models.gguf import is_falcon
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

GIB: Final = 2**30

BITS: Final = {
    "iq1_s": 2.0042, "iq1_m": 2.1460, "iq2_xxs": 2.3824, "iq2_xs": 2.5882, "iq2_s": 2.7403, "iq2_m": 2.9294,
    "iq3_xxs": 3.2548, "iq3_xs": 3.4977, "iq3_s": 3.6606, "iq3_m": 3.7628, "iq4_xs": 4.4597, "iq4_nl": 4.6818,
    "q2_k_s": 2.9697, "q2_k": 3.1593, "q3_k_s": 3.6429, "q3_k_l": 4.2979, "q4_k_s": 4.6672, "q4_k_m": 4.8944,
    "q5_k_s": 5.5704, "q5_k_m": 5.7036, "q6_k": 6.5633, "q8_0": 8.5008,
}  # fmt: skip
"""Bits a weight of Llama 3.1 8B (ggml-org/llama.cpp tools/quantize/README.md)."""

GIGABYTES: Final = {
    # bartowski's files of Llama 3.1 70B, 10^9 bytes (ozeki.chat/p_8590); made with an importance matrix, of which K types know nothing
    "llama-3.1-70b": {
        "q8_0": 74.98, "q6_k": 57.89, "q5_k_m": 49.95, "q5_k_s": 48.66, "q4_k_m": 42.52, "q4_k_s": 40.35, "q3_k_l": 37.14,
        "q3_k_m": 34.27, "q3_k_s": 30.91, "iq3_m": 31.94,
    },
    # huggingface.co/tensorblock/Mixtral-8x7B-Instruct-v0.1-GGUF: eight experts
    "mixtral-8x7b": {
        "q2_k": 17.311, "q3_k_s": 20.433, "q3_k_m": 22.546, "q3_k_l": 24.170, "q4_0": 26.444, "q4_k_s": 26.746,
        "q4_k_m": 28.448, "q5_0": 32.231, "q5_k_s": 32.231, "q5_k_m": 33.230,
    },
    # huggingface.co/tensorblock/gemma-2-9b-GGUF: a tied table of tokens
    "gemma-2-9b": {
        "q2_k": 3.805, "q3_k_s": 4.338, "q3_k_m": 4.762, "q3_k_l": 5.132, "q4_0": 5.443, "q4_k_s": 5.479, "q4_k_m": 5.761,
        "q5_0": 6.484, "q5_k_s": 6.484, "q5_k_m": 6.647, "q6_k": 7.589, "q8_0": 9.827,
    },
    # huggingface.co/tensorblock/Phi-3-mini-4k-instruct-GGUF: queries, keys and values in one matrix
    "phi-3-mini": {
        "q2_k": 1.416, "q3_k_s": 1.682, "q3_k_m": 1.955, "q3_k_l": 2.088, "q4_0": 2.176, "q4_k_s": 2.189, "q4_k_m": 2.393,
        "q5_0": 2.641, "q5_k_s": 2.641, "q5_k_m": 2.815,
    },
    # huggingface.co/tensorblock/gemma-2b-GGUF
    "gemma-2b": {"q2_k": 1.158, "q3_k_m": 1.384, "q4_0": 1.551, "q4_k_m": 1.630, "q5_k_m": 1.840, "q6_k": 2.062},
}  # fmt: skip
HEADER: Final = 0.008
"""A file's header, in 10^9 bytes: names of tokens for the most, of 256,000 in Gemma's."""


def spec_of(name: str) -> ModelSpec:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return spec


def size(spec: ModelSpec, name: str) -> int:
    return weight_bytes(lower(spec), format_of(spec, find_format(name, what="--dtype"))).total


@pytest.mark.parametrize("name", BITS)
def test_bits_a_weight_are_as_llama_cpp_prints_them(name: str) -> None:
    spec = spec_of("llama-3.1-8b")
    assert round(8 * size(spec, name) / params(lower(spec)).total, 4) == pytest.approx(BITS[name], abs=0.00011)


@pytest.mark.parametrize(
    ("model", "name", "published"),
    [(model, name, published) for model, sizes in GIGABYTES.items() for name, published in sizes.items()],
)
def test_weights_are_as_large_as_published_files(model: str, name: str, published: float) -> None:
    """But for the header, which no weights are in, and the last digit."""
    digit = 0.005 if model == "llama-3.1-70b" else 0.0005
    assert published - HEADER - digit <= size(spec_of(model), name) / 1e9 <= published + digit


FALCON: Final = {
    # huggingface.co/tensorblock/falcon-7b-GGUF and falcon-40b-GGUF, which write GB where they mean 2^30 bytes: 7B in q8_0 is 7.67e9
    "falcon-7b": {
        "q2_k": 3.595, "q3_k_s": 3.595, "q3_k_m": 3.856, "q3_k_l": 4.078, "q4_0": 3.922, "q4_k_s": 4.420, "q4_k_m": 4.633,
        "q5_0": 4.727, "q5_k_s": 4.976, "q5_k_m": 5.338, "q6_k": 6.548, "q8_0": 7.145,
    },
    "falcon-40b": {
        "q2_k": 14.681, "q3_k_s": 17.065, "q3_k_m": 18.715, "q3_k_l": 20.115, "q4_0": 22.173, "q4_k_s": 22.173,
        "q4_k_m": 23.738, "q5_0": 26.981, "q5_k_s": 26.981, "q5_k_m": 28.538, "q6_k": 32.090, "q8_0": 41.406,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "name", "published"),
    [(model, name, published) for model, sizes in FALCON.items() for name, published in sizes.items()],
)
def test_falcon_has_rows_of_its_own(model: str, name: str, published: float) -> None:
    assert published - HEADER - 0.0005 <= size(spec_of(model), name) / GIB <= published + 0.0005


@of_each(names(), quick=True)
def test_no_other_model_is_taken_for_falcon(name: str) -> None:
    """Its head is in 8 bits in every mixture."""
    spec = built_in(name)
    if isinstance(spec, ModelSpec) and spec.kind == "decoder":
        assert is_falcon(spec) == (name in ("falcon-7b", "falcon-40b", "falcon-180b"))


@pytest.mark.parametrize(
    ("model", "name", "published"),
    [
        ("qwen3-next-80b-a3b", "q4_k_m", 45.08),  # lmstudio-ai/lmstudio-bug-tracker#1266
        ("gemma-3-12b", "q4_k_m", 6.79),  # ggml-org/llama.cpp#13194
        ("llama-2-7b", "q4_k_m", 3.80),
        ("llama-2-7b", "q4_0", 3.56),
        ("llama-2-7b", "q8_0", 6.67),
        ("deepseek-v3", "q4_k_m", 376.65),  # "deepseek2 671B Q4_K - Medium", 671.03 B
        ("qwen2.5-7b", "q4_k_m", 4.36),  # "qwen2 7B Q4_K - Medium", 7.62 B
    ],
)
def test_weights_are_as_large_as_llama_bench_prints(model: str, name: str, published: float) -> None:
    assert round(size(spec_of(model), name) / GIB, 2) == published


@pytest.mark.parametrize(("model", "published"), [("gpt-oss-20b", 12.1), ("gpt-oss-120b", 63.4)])
def test_experts_in_mxfp4_beside_q8_0(model: str, published: float) -> None:
    """10^9 bytes of the files that llama.cpp's authors made (AlexsJones/llmfit#1059)."""
    assert round(size(spec_of(model), "mxfp4_moe") / 1e9, 1) == published


DEEPSEEK_V2_LITE: Final = {
    "model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"], "vocab_size": 102400, "hidden_size": 2048,
    "intermediate_size": 10944, "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "n_shared_experts": 2, "n_routed_experts": 64, "num_experts_per_tok": 6, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "qk_nope_head_dim": 128, "max_position_embeddings": 163840, "tie_word_embeddings": False,
    "moe_layer_freq": 1, "topk_method": "greedy",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("q2_k", 6.43),
        ("q3_k_m", 8.13),
        ("q3_k_l", 8.46),
        ("q4_0", 8.91),
        ("q4_k_s", 9.53),
        ("iq4_xs", 8.65),
        ("q8_0", 16.7),
    ],
)
def test_rows_that_blocks_do_not_divide_are_in_a_larger_type(name: str, published: float) -> None:
    """DeepSeek-V2-Lite's experts are 1,408 wide, five blocks and a half (huggingface.co/mradermacher/DeepSeek-V2-Lite-GGUF)."""
    spec = imported(DEEPSEEK_V2_LITE, name="deepseek-v2-lite", where="config.json")
    assert size(spec, name) / 1e9 == pytest.approx(published, rel=0.002)


def test_where_more_bits_are() -> None:
    """Of 32 layers: the first four, the last four, and every third between them from the seventh on."""
    shape = Shape(32, 32, 4, 1)
    larger = [layer for layer in range(32) if type_of(MIXES["q4_k_m"], "down", layer, shape) == "q6_k"]
    assert larger == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]


def test_a_mixture_is_said_line_by_line_and_adds_up() -> None:
    found = answer("memory", "llama-3.1-8b", "--dtype", "q4_k_m")
    lines = {line["name"]: line["format"] for line in found["lines"]}
    assert (lines["attention.v in q6_k"], lines["attention.v in q4_k"], lines["head"]) == ("q6_k", "q4_k", "q6_k")
    assert lines["norm.final"] == "fp32" and found["dtype"] == "q4_k_m"
    assert found["per_device_bytes"]["weights"] == size(spec_of("llama-3.1-8b"), "q4_k_m")
    other = answer("serve", "llama-3.1-8b", "--dtype", "q4_k_m", "--gpu", "rtx-4090")
    assert other["weight_bytes"] == found["per_device_bytes"]["weights"]


def test_a_vision_tower_is_in_16_bits_in_a_file_of_its_own() -> None:
    """Gemma 3 12B: the file of text, and mmproj-F16.gguf, of which vectors and positions are in fp32 (OrpheraAI/gemma-3-12b-it-qat-GGUF)."""
    text = size(spec_of("gemma-3-12b"), "q4_k_m")
    weights = answer("memory", "gemma-3-12b", "--dtype", "q4_k_m")["per_device_bytes"]["weights"]
    assert text / GIB == pytest.approx(6.80, abs=0.02)
    assert (weights - text) / 2**20 == pytest.approx(814.6, rel=0.015)


def test_a_pure_type_is_that_alone() -> None:
    spec = spec_of("llama-2-7b")
    kept = format_of(spec, find_format("q4_0-pure", what="--dtype"))
    assert not isinstance(kept, Mixture)
    assert {one.format.bits for one in kept_in(lower(spec), kept)} == {DTYPES["q4_0"].bits, DTYPES["fp32"].bits}
    assert floor(size(spec, "q4_0-pure") / 1e7) < floor(size(spec, "q4_0") / 1e7)
