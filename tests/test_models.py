"""The built-in models: each counts what its source counts, and every figure in its file says where it was read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.helpers import disclosed, of_each
from tscale.catalogue import models as catalogue
from tscale.catalogue.models import built_in, known_name, names, normalised, text_of
from tscale.core.costs.params import embedding_params, non_embedding_params, params
from tscale.core.sources import SOURCES
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.spec import Evidence, ModelSpec, Published
from tscale.models.undisclosed import UndisclosedSpec
from tscale.models.yaml_file import parse_document

PF_DAY = 10**15 * 86_400
ORACLE = Path(__file__).parent / "oracle"


def gpt(layers: int, d: int, vocabulary: int, context: int) -> int:
    """GPT-2 and those like it: 12·d² of matrices a layer, 13·d of biases and norms, two tables and a final norm."""
    return layers * (12 * d**2 + 13 * d) + (vocabulary + context) * d + 2 * d


def llama(layers: int, d: int, d_ff: int, vocabulary: int, kv: int | None = None, qkv_bias: bool = False) -> int:
    """LLaMA and those like it: q and o, k and v of width `kv`, three feed-forward matrices, norms, an untied head."""
    kv = d if kv is None else kv
    biases = d + 2 * kv if qkv_bias else 0
    return layers * (2 * d**2 + 2 * d * kv + biases + 3 * d * d_ff + 2 * d) + 2 * vocabulary * d + d


def bert(layers: int, d: int) -> int:
    """BERT: GPT-2's layer, three tables, a norm behind them, and the pooler."""
    return layers * (12 * d**2 + 13 * d) + (30522 + 512 + 2) * d + 2 * d + d**2 + d


def t5(layers: int, d: int, d_ff: int, heads: int, head_dim: int) -> int:
    """T5: an encoder, a decoder with cross-attention, a table of 32 buckets for each, norms, one table of tokens."""
    attention, feed_forward = 4 * d * heads * head_dim, 2 * d * d_ff
    encoder, decoder = attention + feed_forward + 2 * d, 2 * attention + feed_forward + 3 * d
    return layers * (encoder + decoder) + 2 * (32 * heads + d) + 32128 * d


def transformer(d: int, d_ff: int) -> int:
    """The Transformer of 2017: six layers a stack, biases in the feed-forward only, norms of 2·d, one shared table."""
    feed_forward = 2 * d * d_ff + d_ff + d
    encoder, decoder = 4 * d**2 + feed_forward + 2 * 2 * d, 8 * d**2 + feed_forward + 3 * 2 * d
    return 6 * (encoder + decoder) + 37000 * d


def gopher(layers: int, d: int) -> int:
    """Gopher and Chinchilla: 12·d² a layer and d² for relative positions, two norms a layer and a final one, tied."""
    return layers * (13 * d**2 + 2 * d) + d + 32000 * d


def palm(layers: int, d: int, heads: int) -> int:
    """PaLM: heads of 256 with one of keys and values, a gated feed-forward of 4·d, one norm a layer, tied."""
    return layers * (2 * d * heads * 256 + 2 * d * 256 + 3 * d * 4 * d + d) + 256000 * d + d


def gemma2(layers: int, d: int, d_ff: int, heads: int, kv_heads: int) -> int:
    """Gemma 2: heads of 256, a gated feed-forward, four norms a layer and a final one, tied."""
    return layers * (2 * d * heads * 256 + 2 * d * kv_heads * 256 + 3 * d * d_ff + 4 * d) + d + 256000 * d


def latent(d: int, heads: int, q: int, kv: int, nope: int, rope: int, v: int) -> int:
    """Latent attention: down and up for queries, and for keys and values, norms on the latents, and the way back."""
    return d * q + q + q * heads * (nope + rope) + d * (kv + rope) + kv + kv * heads * (nope + v) + heads * v * d


def routed(d: int, experts: int, d_ff: int, shared: int = 0) -> int:
    """Routed experts of three matrices, their router, and a shared one."""
    return d * experts + experts * 3 * d * d_ff + 3 * d * shared


def ends(layers: int, d: int, vocabulary: int) -> int:
    """Two norms a layer and a final one, a table and an untied head."""
    return 2 * layers * d + d + 2 * vocabulary * d


GLM_INDEXER = 2048 * 32 * 128 + 6144 * 128 + 2 * 128 + 6144 * 32
DELTA_NET = 4096 * (2 * 2048 + 2 * 8192) + 4096 * 128 + (2 * 2048 + 8192) * 4 + 128 + 128 + 8192 * 4096
GATED_ATTENTION = 4096 * (2 * 32 + 2 * 2) * 256 + 2 * 256 + 32 * 256 * 4096
DELTA_NET_OF_2048 = 2048 * (2 * 2048 + 2 * 4096) + 2048 * 64 + (2 * 2048 + 4096) * 4 + 64 + 128 + 4096 * 2048
GATED_ATTENTION_OF_16 = 2048 * (2 * 16 + 2 * 2) * 256 + 2 * 256 + 16 * 256 * 2048

TOTALS: dict[str, tuple[int, int]] = {
    # Name: the total, and the formula it is redone with. "hf": modules of the transformers library (5.23) of this shape
    # count the same. "hub": the released weights hold as many.
    "transformer": (63_045_632, transformer(512, 2048)),
    "transformer-big": (214_171_648, transformer(1024, 4096)),
    "gpt1": (116_534_784, gpt(12, 768, 40478, 512) - 2 * 768),  # no final norm; hf, hub
    "gpt2": (124_439_808, gpt(12, 768, 50257, 1024)),
    "gpt2-medium": (354_823_168, gpt(24, 1024, 50257, 1024)),  # hf, hub
    "gpt2-large": (774_030_080, gpt(36, 1280, 50257, 1024)),  # hf, hub
    "gpt2-xl": (1_557_611_200, gpt(48, 1600, 50257, 1024)),  # hf, hub
    "gpt3-small": (125_226_240, gpt(12, 768, 50257, 2048)),  # hf
    "gpt3-medium": (355_871_744, gpt(24, 1024, 50257, 2048)),
    "gpt3-large": (760_300_032, gpt(24, 1536, 50257, 2048)),
    "gpt3-xl": (1_315_723_264, gpt(24, 2048, 50257, 2048)),
    "gpt3-2.7b": (2_651_553_280, gpt(32, 2560, 50257, 2048)),  # hf
    "gpt3-6.7b": (6_658_404_352, gpt(32, 4096, 50257, 2048)),
    "gpt3-13b": (12_853_386_240, gpt(40, 5120, 50257, 2048)),  # hf
    "gpt3": (174_604_259_328, gpt(96, 12288, 50257, 2048)),  # hf
    "opt-175b": (174_604_443_648, gpt(96, 12288, 50272, 2048)),
    "bloom-176b": (176_247_271_424, gpt(70, 14336, 250880, 0) + 2 * 14336),  # a norm behind the embedding
    "bert-base": (109_482_240, bert(12, 768)),  # hf: see test_bert_with_its_heads
    "bert-large": (335_141_888, bert(24, 1024)),
    "t5-small": (60_506_624, t5(6, 512, 2048, 8, 64)),
    "t5-base": (222_903_552, t5(12, 768, 3072, 12, 64)),  # hf, hub
    "t5-large": (737_668_096, t5(24, 1024, 4096, 16, 64)),  # hf, hub
    "t5-3b": (2_851_598_336, t5(24, 1024, 16384, 32, 128)),
    "t5-11b": (11_307_321_344, t5(24, 1024, 65536, 128, 128)),
    "gopher-280b": (279_699_800_064, gopher(80, 16384)),
    "chinchilla-70b": (70_056_681_472, gopher(80, 8192)),
    "palm-8b": (8_632_012_800, palm(32, 4096, 16)),
    "palm-62b": (62_495_662_080, palm(64, 8192, 32)),
    "palm-540b": (540_356_474_880, palm(118, 18432, 48)),
    "llama-7b": (6_738_415_616, llama(32, 4096, 11008, 32000)),
    "llama-13b": (13_015_864_320, llama(40, 5120, 13824, 32000)),  # hf, hub
    "llama-33b": (32_528_943_616, llama(60, 6656, 17920, 32000)),
    "llama-65b": (65_285_660_672, llama(80, 8192, 22016, 32000)),  # hf, hub
    "llama-2-7b": (6_738_415_616, llama(32, 4096, 11008, 32000)),  # hub, less its rotary frequencies
    "llama-2-13b": (13_015_864_320, llama(40, 5120, 13824, 32000)),  # hub, less its rotary frequencies
    "llama-2-70b": (68_976_648_192, llama(80, 8192, 28672, 32000, kv=1024)),  # hub, less its rotary frequencies
    "llama-3.1-8b": (8_030_261_248, llama(32, 4096, 14336, 128256, kv=1024)),  # hub
    "llama-3.1-70b": (70_553_706_496, llama(80, 8192, 28672, 128256, kv=1024)),  # hub
    "llama-3.1-405b": (405_853_388_800, llama(126, 16384, 53248, 128256, kv=1024)),  # hf, hub
    "mistral-7b": (7_241_732_096, llama(32, 4096, 14336, 32000, kv=1024)),  # hf, hub
    "qwen2.5-7b": (7_615_616_512, llama(28, 3584, 18944, 152064, kv=512, qkv_bias=True)),  # hf, hub
    "qwen2.5-72b": (72_706_203_648, llama(80, 8192, 29568, 152064, kv=1024, qkv_bias=True)),  # hf, hub
    "gemma-2-9b": (9_241_705_984, gemma2(42, 3584, 14336, 16, 8)),
    # The language part of each as modules of the transformers library (5.24) of its released shape count it
    "glm-5": (
        743_911_199_232,
        78 * (latent(6144, 64, 2048, 512, 192, 64, 256) + GLM_INDEXER)
        + 3 * 3 * 6144 * 12288
        + 75 * routed(6144, 256, 2048, 2048)
        + ends(78, 6144, 154880),
    ),
    "kimi-k2.5": (
        1_026_408_209_408,
        61 * latent(7168, 64, 1536, 512, 128, 64, 128)
        + 3 * 7168 * 18432
        + 60 * routed(7168, 384, 2048, 2048)
        + ends(61, 7168, 163840),
    ),
    "mistral-large-4": (
        1_050_089_886_752,  # transformers 5.24.0 builds the text model so
        72 * (6144 * 64 * 128 + 64 * 128 * 6144 + 2 * 64)
        + 54 * (6144 * (512 + 64) + 512 + 512 * 64 * (64 + 128))
        + 9 * (6144 * 512 + 512)
        + 18 * 512 * 64 * (128 + 128)
        + 72 * (2 * 6144 + 6144 * 32 * 128 + 2 * 32 + 6144 * 128 + 2 * 128 + 6144 * 32)
        + 32
        + 3 * 6144 * 24576
        + 71 * routed(6144, 128, 6144, 6144)
        + ends(72, 6144, 204800),
    ),
    "glm-5.3-flash": (
        313_326_799_870,  # transformers 5.24.0 builds the text model so
        34 * (3 * (4096 * 8192 + 8192 * 4) + 2 * (4096 * 128 + 128 * 8192) + 64 + 8192 + 4096 * 64 + 128 + 8192 * 4096)
        + 11 * (4096 * 1536 + 1536 + 1536 * 64 * 256 + 4096 * 512 + 512 + 512 * 64 * (256 + 256) + 64 * 256 * 4096)
        + 11 * (1536 * 32 * 128 + 2 * 4096 * 128 + 2 * 128 + 4096 * 32 + 4 * 128)
        + 2 * 45 * (24 * 4 * 4096 + 24 + 3)
        + 3 * 3 * 4096 * 12288
        + 42 * routed(4096, 288, 2048, 2048)
        + ends(45, 4096, 154880),
    ),
    "minimax-m2.5": (
        228_689_748_992,
        62 * (2 * 3072 * (48 + 8) * 128 + (48 + 8) * 128 + routed(3072, 256, 1536)) + ends(62, 3072, 200064),
    ),
    "qwen3.5-397b-a17b": (
        396_346_350_336,
        45 * DELTA_NET + 15 * GATED_ATTENTION + 60 * (routed(4096, 512, 1024, 1024) + 4096) + ends(60, 4096, 248320),
    ),
    "qwen3.6-35b-a3b": (
        34_660_610_688,  # the text model of nvidia/Qwen3.6-35B-A3B-NVFP4's config.json, as transformers 5.24.0 builds it
        30 * DELTA_NET_OF_2048
        + 10 * GATED_ATTENTION_OF_16
        + 40 * (routed(2048, 256, 512, 512) + 2048)
        + ends(40, 2048, 248320),
    ),
}

STEP_HEADS = 12 * 64 + 33 * 96
"""Of a layer that sees all tokens 64, of one that sees 512 tokens 96; 8 key-value heads of 128 in each, and a gate a head."""
TOTALS |= {
    # As the language part of Step3p7ForConditionalGeneration of transformers 5.24.0 counts it
    **{
        name: (
            196_956_118_272,
            4096 * (2 * STEP_HEADS * 128 + STEP_HEADS + 45 * 2 * 8 * 128)
            + 45 * 2 * 128
            + 3 * 3 * 4096 * 11264
            + 42 * routed(4096, 288, 1280, 1280)
            + ends(45, 4096, 128896),
        )
        for name in ("step-3.5-flash", "step-3.7-flash")
    },
    # Without the matrices that the class builds for experts that compute nothing
    "longcat-flash": (
        560_664_958_976,
        56 * latent(6144, 64, 1536, 512, 128, 64, 128)
        + 56 * 3 * 6144 * 12288
        + 28 * (routed(6144, 512, 2048) + 256 * 6144)
        + ends(56, 6144, 131072),
    ),
}

UNDISCLOSED = {"gpt-3.5-turbo", "gpt-4", "gpt-4v"}

FAR_FROM_THE_COUNT: dict[tuple[str, str], str] = {
    # Published parameters more than 1.5% away from the count, and why.
    ("transformer", "vaswani2017 Table 3"): "no single vocabulary fits both rows of the table",
    ("gpt2", "radford2019 Table 2"): "wrong in the paper, as OpenAI said later",
    ("gpt2-medium", "radford2019 Table 2"): "wrong in the paper, as OpenAI said later",
    ("gpt2-large", "radford2019 Table 2"): "wrong in the paper, as OpenAI said later",
    ("gpt3-medium", "brown2020 Table 2.1"): "356 million rounded to 350 million",
    ("gpt3-2.7b", "brown2020 Table 2.1"): "2.65 billion rounded to 2.7 billion",
    ("kimi-k2", "Kimi K2 README"): "1.03 trillion rounded to 1 trillion",
    ("kimi-k2.5", "Kimi K2.5 model card"): "1.03 trillion rounded to 1 trillion",
    ("qwen3.5-0.8b", "Qwen3.5-0.8B, by its name"): "0.85 billion called 0.8 billion",
    ("kimi-linear-48b-a3b", "vllm-project/recipes, Kimi-Linear-48B-A3B-Instruct"): "49.1 billion called 48 billion",
    (
        "nemotron-3-nano-30b-a3b",
        "vllm-project/recipes, NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    ): "31.6 billion called 30 billion",
    (
        "deepseek-v4-pro",
        "DeepSeek-AI, DeepSeek-V4 (arXiv 2606.19348), abstract",
    ): "1.573 trillion rounded to 1.6 trillion",
    (
        "glm-5.3-flash",
        "NVIDIA NeMo AutoModel, model coverage of GLM-5.3-Flash",
    ): "with the layer that predicts further tokens",
    ("phi-4", "Phi-4 report, abstract"): "14.66 billion rounded down to 14 billion",
    ("bert-large", "brown2020 Table D.1"): "a slip of the table: the size of RoBERTa large",
    ("t5-large", "raffel2019 section 3.7"): "high in the paper",
    ("t5-large", "brown2020 Table D.1"): "taken from the paper",
    ("t5-3b", "raffel2019 section 3.7"): "2.85 billion rounded down to 2.8 billion",
    ("t5-3b", "brown2020 Table D.1"): "rounded up to 3 billion",
    ("t5-11b", "raffel2019 section 3.7"): "11.3 billion rounded to 11 billion",
    ("t5-11b", "brown2020 Table D.1"): "11.3 billion rounded to 11 billion",
    ("whisper-tiny", "radford2022 Table 1"): "above the released model, not explained",
    ("whisper-base", "radford2022 Table 1"): "above the released model, not explained",
}


def spec_of(name: str) -> ModelSpec:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return spec


def total(spec: ModelSpec) -> int:
    return params(lower(spec).whole).total


def figures(spec: ModelSpec) -> Iterator[tuple[str, Published]]:
    """Every published figure of a model, with the name it stands under."""
    for name in spec.published or {}:
        for figure in spec.figures(name):
            yield name, figure


def as_written(name: str) -> dict[str, Any]:
    """A model's file before defaults are filled in."""
    data = parse_document(text_of(name), f"{name}.yaml").data
    assert isinstance(data, dict)
    return data


def test_every_model_of_a_known_shape_is_in_the_table() -> None:
    """In the one below, or among those that tests/test_built_ins.py holds to a framework's count."""
    cases = (ORACLE / "cases_built_ins.jsonl").read_text(encoding="utf-8").splitlines()
    counted = {*json.loads((ORACLE / "built_ins.json").read_text(encoding="utf-8"))}
    counted |= {json.loads(case)["name"] for case in cases}
    assert set(disclosed()) == set(TOTALS) | counted
    assert not set(TOTALS) & counted
    assert set(names()) - set(disclosed()) == UNDISCLOSED


@of_each(TOTALS)
def test_total_parameters(name: str) -> None:
    """Of the language model, where there are towers too."""
    expected, formula = TOTALS[name]
    assert params(lower(spec_of(name))).total == expected == formula


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("gemma-3-27b", 27_432_406_640),
        ("llama-4-scout", 108_641_793_536),
        ("llama-4-maverick", 401_583_781_376),
        ("kimi-k2.5", 1_026_879_353_328),
        ("qwen3.5-397b-a17b", 396_802_360_816),
        ("qwen3.6-35b-a3b", 35_107_181_936),
        ("qwen3-vl-2b", 2_127_532_032),
        ("qwen3-vl-4b", 4_437_815_808),
        ("qwen3-vl-8b", 8_767_123_696),
        ("qwen3-vl-32b", 33_357_390_064),
        ("mistral-large-3", 675_991_176_960),
        ("step-3.7-flash", 198_937_133_056),
        ("kimi-k2.7-code", 1_026_879_353_328),
        ("kimi-k2.6", 1_026_879_353_328),
        ("ministral-3-3b", 3_849_090_048),
        ("ministral-3-8b", 8_918_026_240),
        ("ministral-3-14b", 13_945_031_680),
        ("mistral-medium-3.5", 127_704_210_176),
        ("mistral-small-4", 119_401_298_944),
        ("gemma-4-e2b", 5_104_297_504),
        ("gemma-4-e4b", 7_941_100_832),
        ("gemma-4-12b", 11_959_730_176),
        ("gemma-4-26b-a4b", 25_805_933_872),
        ("gemma-4-31b", 31_273_086_512),
        ("qwen3.5-0.8b", 852_985_920),
        ("qwen3.5-4b", 4_539_265_536),
        ("qwen3.5-9b", 9_409_813_744),
        ("qwen3.5-27b", 27_356_728_560),
        ("qwen3.5-35b-a3b", 35_107_181_936),
        ("qwen3.5-122b-a10b", 122_562_817_776),
        ("qwen3-vl-30b-a3b", 31_070_754_032),
        ("qwen3-vl-235b-a22b", 235_670_022_896),
        ("minimax-m3", 427_040_132_864),
    ],
)
def test_total_parameters_with_towers(name: str, whole: int) -> None:
    """As modules of the transformers library (5.24) of the released config.json count them."""
    assert total(spec_of(name)) == whole


@pytest.mark.parametrize(
    ("name", "on_the_hub", "borrowing", "scales"),
    [
        # Layers that borrow keys, as (how many, their width), and numbers per image channel of the tower's standardisation
        ("gemma-4-e2b", 5_123_178_051, ((16, 256), (4, 512)), 0),
        ("gemma-4-e4b", 7_996_156_490, ((15, 2 * 256), (3, 2 * 512)), 0),
        ("gemma-4-12b", 11_959_730_224, (), 0),
        ("gemma-4-31b", 31_273_088_876, (), 2 * 1152),
    ],
)
def test_gemma_4_files_hold_no_more_than_is_said(
    name: str, on_the_hub: int, borrowing: tuple[tuple[int, int], ...], scales: int
) -> None:
    """Beside what the class has: a scalar a layer, and keys and values that borrowing layers never read (one norm a head's width)."""
    spec = spec_of(name)
    unread = sum(layers * 2 * spec.d_model * width for layers, width in borrowing)
    heads = 1 if name == "gemma-4-e2b" else 2
    norms = sum(layers * width // heads for layers, width in borrowing)
    assert total(spec) + unread + norms + spec.layers + scales == on_the_hub


def test_bert_with_its_heads() -> None:
    """BertForPreTraining of the transformers library: 110,106,428, of which 2·768 + 2 tell next sentences."""
    whole = resolve("bert-base", ["head.kind=masked", "head.bias=true", "tied=true"])
    assert total(whole) + 2 * 768 + 2 == 110_106_428


@pytest.mark.parametrize(
    ("name", "d", "marian"), [("transformer", 512, 63_606_784), ("transformer-big", 1024, 215_293_952)]
)
def test_transformer_beside_the_marian_module(name: str, d: int, marian: int) -> None:
    """Marian in transformers also has four biases in each of 18 attentions and stores two sinusoid tables."""
    assert total(spec_of(name)) + 18 * 4 * d + 2 * 512 * d == marian


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-2-13b", "llama-2-70b"])
def test_llama_2_weights_also_store_rotary_frequencies(name: str) -> None:
    spec = spec_of(name)
    assert spec.figures("params")[0].value == total(spec) + 64 * spec.layers


@pytest.mark.parametrize("name", ["gopher-280b", "chinchilla-70b"])
def test_an_untied_head_adds_what_the_note_says(name: str) -> None:
    untied = resolve(name, ["tied=false"])
    assert f"{total(untied) - total(spec_of(name)):,}" in " ".join(spec_of(name).notes)


def test_opt_with_two_more_rows_of_positions() -> None:
    longer = resolve("opt-175b", ["positions.rows=2050"])
    assert f"{total(longer) - total(spec_of('opt-175b')):,}" in " ".join(spec_of("opt-175b").notes)


def test_gpt3_as_its_table_contradicts_itself() -> None:
    """The widths that Table 2.1 prints do not give the sizes of Table D.1; the notes quote what they would give."""
    xl = resolve("gpt3-xl", ["attention.heads=24", "attention.head_dim=128"])
    assert f"{total(xl):.3e}" == "1.517e+09" and "would give 1.517e9" in " ".join(spec_of("gpt3-xl").notes)
    assert f"{gpt(40, 5140, 50257, 2048):.4e}" == "1.2953e+10"
    assert "would give 12.953e9" in " ".join(spec_of("gpt3-13b").notes)


def test_transformer_fits_no_single_vocabulary() -> None:
    """65e6 and 213e6 ask for vocabularies that differ by 12%, as the note says."""
    base = 37_000 + (65_000_000 - TOTALS["transformer"][0]) / 512
    big = 37_000 + (213_000_000 - TOTALS["transformer-big"][0]) / 1024
    assert (round(base, -2), round(big, -2)) == (40_800, 35_900)


@pytest.mark.parametrize("name", [name for name in disclosed() if spec_of(name).figures("non_embedding_params")])
def test_published_split_by_embedding(name: str) -> None:
    """Gemma's report and Qwen's card print parameters without the embedding: the same to all digits that they print."""
    spec = spec_of(name)
    printed = spec.figures("non_embedding_params")[0].value
    assert float(f"{non_embedding_params(lower(spec)):.2e}") == float(f"{printed:.2e}")


def test_gemma_2_without_its_embedding_is_the_report_s_figure() -> None:
    spec = spec_of("gemma-2-9b")
    assert non_embedding_params(lower(spec)) == spec.figures("non_embedding_params")[0].value
    report = spec.figures("embedding_params")[0]
    assert report.value == 256_128 * spec.d_model
    assert f"{embedding_params(lower(spec)).total:,}" in (report.note or "")


@of_each(disclosed(), quick=True)
def test_published_parameters_are_near_the_count_or_explained(name: str) -> None:
    spec = spec_of(name)
    count = total(spec)
    for figure in spec.figures("params"):
        if abs(figure.value - count) > 0.015 * count:
            assert (name, figure.source) in FAR_FROM_THE_COUNT
            assert figure.note, f"{name}: say beside {figure.value} why it is far from {count}"


def test_no_exception_outlives_its_reason() -> None:
    far = {
        (name, figure.source)
        for name in disclosed()
        for figure in spec_of(name).figures("params")
        if abs(figure.value / total(spec_of(name)) - 1) > 0.015
    }
    assert far == set(FAR_FROM_THE_COUNT)


@of_each(disclosed(), quick=True)
def test_shape_has_sources_and_a_grade(name: str) -> None:
    spec = spec_of(name)
    assert spec.sources and all(spec.sources)
    assert spec.evidence in get_args(Evidence)


@of_each(disclosed())
def test_every_figure_has_a_source_and_a_grade(name: str) -> None:
    """And something published to compare with, or a framework's count in tests/test_built_ins.py."""
    data = as_written(name)
    published = data.get("published", {})
    assert published or name not in TOTALS, f"{name}: nothing published to compare with"
    training = data.get("training", {})
    for value in [*published.values(), *([training.get("stages", training)] if training else [])]:
        for item in value if isinstance(value, list) else [value]:
            assert item["source"] and item["evidence"], f"{name}: {item}"


@of_each(disclosed(), quick=True)
def test_tokens_are_given_or_their_absence_explained(name: str) -> None:
    spec = spec_of(name)
    said = " ".join((*spec.notes, *(spec.notes_on or {}).get("training", ()))).lower()
    known = spec.training is not None and spec.training.total_tokens is not None
    assert known or re.search(r"tokens.* (never|not) .*(published|disclosed|no source)", said)


@of_each(names(), quick=True)
def test_citations_name_known_sources(name: str) -> None:
    """What looks like a key, `brown2020`, is one."""
    spec = built_in(name)
    if isinstance(spec, UndisclosedSpec):
        cited = [spec.source]
    else:
        assert isinstance(spec, ModelSpec)
        training = [stage.source for stage in spec.training.all_stages()] if spec.training else []
        cited = [*spec.sources, *training, *(figure.source for _, figure in figures(spec))]
    for citation in cited:
        key = citation.split()[0]
        assert key in SOURCES or not re.fullmatch(r"[a-z]+\d{4}[a-z]?", key), citation


def test_sources_are_sorted() -> None:
    assert list(SOURCES) == sorted(SOURCES)


@pytest.mark.parametrize("name", sorted(UNDISCLOSED))
def test_undisclosed_models_say_what_is_known_and_who_believes_what(name: str) -> None:
    spec, data = built_in(name), as_written(name)
    assert isinstance(spec, UndisclosedSpec)
    assert spec.disclosed and spec.source and data["evidence"] in get_args(Evidence)
    for claim in data.get("estimates", []):
        assert claim["claim"] and claim["by"] and claim["evidence"] in ("secondary", "unconfirmed")


@pytest.mark.parametrize("name", [name for name in disclosed() if spec_of(name).figures("pf_days")])
def test_pf_days_and_flops_are_the_same_figure(name: str) -> None:
    """A petaFLOP/s-day is 8.64e19 FLOPs; both figures are printed with three digits."""
    spec = spec_of(name)
    flops = spec.figures("training_flops")[0].value
    assert spec.figures("pf_days")[0].value * PF_DAY == pytest.approx(flops, rel=0.005)


BROWN_COUNTS = {"bert-base": 250 * 10**9, "bert-large": 250 * 10**9}
"""Tokens that Table D.1 takes where the makers' own steps and batches come to others."""


@pytest.mark.parametrize("name", [name for name in disclosed() if "brown2020 Table D.1" in text_of(name)])
def test_table_d1_is_parameters_times_tokens(name: str) -> None:
    """Table D.1: 6 FLOPs a parameter and token, and 3 in T5, where a token passes through one of the two stacks."""
    spec = spec_of(name)
    of_table = {key: figure for key, figure in figures(spec) if figure.source == "brown2020 Table D.1"}
    assert spec.training is not None
    assert spec.training.total_tokens is not None
    tokens = BROWN_COUNTS.get(name, spec.training.total_tokens)
    each = 3 if spec.kind == "encoder-decoder" else 6
    product = each * of_table["params"].value * tokens
    assert product == pytest.approx(of_table["training_flops"].value, rel=0.005)


def test_no_name_or_alias_means_two_models() -> None:
    seen: dict[str, str] = {}
    for row in catalogue.listed():
        for name in (row.name, *row.aliases):
            assert name not in seen, f"{name} means both {seen[name]} and {row.name}"
            assert name == normalised(name), f"{name} is not lower case with dashes"
            assert known_name(name) == row.name
            seen[name] = row.name


def test_names_are_found_however_they_are_typed() -> None:
    assert known_name("LLaMA_2_7B") == "llama-2-7b"
    assert known_name("GPT 4") == "gpt-4"
    assert known_name("Attention is all you need") == "transformer"
