"""Bytes of single arrays that a forward pass keeps, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

import tscale
from tscale.core.costs.activations import Passes, activation_bytes, keeping, korthikanti_layer_bytes, widest_bytes
from tscale.core.costs.states import find_targets
from tscale.core.costs.training_setup import Training
from tscale.core.ledger import Block, Cut, Saved
from tscale.core.parallelism import Parallelism
from tscale.core.precision import PRECISIONS
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun
from tscale.models.trainer import trainer

RUN = SequenceLengths(target=10, source=6)
ONE = Saved("one", "attention", "target", 8, used=3)
HOW = Passes(micro_batch=2)


def kept(change: dict[str, Any], how: dict[str, Any] | None = None, plan: Parallelism | None = None) -> int:
    return int(activation_bytes((ONE._replace(**change),), RUN, HOW._replace(**how or {}), plan).total)


WHOLE = 3 * 10 * 8 * 2 * 2
"""Three layers of 10 positions by 8 numbers of 2 bytes, of 2 sequences."""


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({}, WHOLE), ({"number": "residual"}, WHOLE), ({"number": "product"}, WHOLE), ({"number": "fp32"}, 2 * WHOLE), ({"number": "mask"}, WHOLE // 2),
        ({"number": "index"}, 4 * WHOLE), ({"stream": "source"}, WHOLE * 6 // 10), ({"stream": "once"}, WHOLE // 10), ({"shared": True}, WHOLE // 2),
        ({"keys": "source"}, 6 * WHOLE), ({"keys": "source", "most": 4}, 4 * WHOLE), ({"most": 4}, WHOLE * 4 // 10), ({"most": 40}, WHOLE), ({"chunk": 4}, WHOLE * 3 // 10),
        ({"chunk": 5}, WHOLE * 2 // 10), ({"dropout": True}, 0), ({"copied": True}, 0), ({"keeping": ("naive",)}, 0), ({"norms": ("eager",)}, 0), ({"norms": ("fused",)}, WHOLE),
        ({"eager": True}, WHOLE),
    ],
)  # fmt: skip
def test_bytes_of_one_array(change: dict[str, Any], size: int) -> None:
    assert kept(change) == size


def test_what_is_kept_where_passes_are_run_otherwise() -> None:
    assert kept({"number": "residual"}, {"residual_bytes": 4}) == 2 * WHOLE
    assert kept({"number": "product"}, {"product_bytes": 1}) == WHOLE // 2
    assert kept({}, {"activation_bytes": 4}) == 2 * WHOLE
    assert kept({"dropout": True}, {"dropout": True}) == WHOLE
    assert kept({"copied": True}, {"product_bytes": 1}) == WHOLE
    assert kept({"eager": True}, {"kernels": "fused"}) == 0
    assert kept({"keeping": ("naive",)}, {"keeping": "naive"}) == WHOLE
    assert kept({"norms": ("eager",)}, {"norms": "eager"}) == WHOLE


def test_positions_and_widths_are_divided() -> None:
    """Over 4 devices of tensor parallelism: what is cut; along the sequence what is not, but what is gathered; over 3 of a sequence."""
    plan = Parallelism(tensor=4, sequence=True)
    assert kept({"cut": Cut(4)}, None, Parallelism(tensor=4)) == WHOLE // 4
    assert kept({}, None, Parallelism(tensor=4)) == WHOLE
    assert kept({}, None, plan) == WHOLE * 3 // 10
    assert kept({"gathered": True}, None, plan) == WHOLE
    assert kept({"cut": Cut(4)}, None, plan) == WHOLE // 4
    assert kept({"stream": "once"}, None, plan) == WHOLE // 10
    assert kept({}, None, Parallelism(context=3)) == WHOLE * 4 // 10
    assert kept({"stream": "once"}, None, Parallelism(context=3)) == WHOLE // 10
    routed = {"routed": True, "cut": Cut(8), "gathered": True}
    assert kept(routed, None, Parallelism(tensor=4)) == WHOLE // 4
    assert kept(routed, None, Parallelism(tensor=4, expert_tensor=2)) == WHOLE * 5 // 10 // 2
    assert kept(routed, None, Parallelism(tensor=4, expert_tensor=1)) == WHOLE * 3 // 10


def test_a_tower_keeps_of_all_that_runs_through_it() -> None:
    block = Block("tower", "mixer")
    media = (
        TowerPass(block, 5, TowerRun(16, 4)),
        TowerPass(block, 2, TowerRun(9, 1)),
        TowerPass(Block("tower", "mixer", 1), 7, TowerRun(9, 1)),
    )
    run = RUN._replace(media=media)
    saved = ONE._replace(block=block, stream="tower_inputs")
    plan = Parallelism(context=3)
    assert activation_bytes((saved,), run, HOW, plan).total == 3 * (5 * 16 + 2 * 9) * 8 * 2 * 2


def test_the_widest_array_is_of_one_layer() -> None:
    arrays = (ONE, ONE._replace(width=9), ONE._replace(width=20, used=0), ONE._replace(width=30, dropout=True))
    assert widest_bytes(arrays, RUN, HOW, Parallelism()) == 10 * 9 * 2 * 2
    assert widest_bytes((), RUN, HOW, Parallelism()) == 0


def test_how_a_layer_is_kept() -> None:
    assert [keeping("flash", again) for again in ("none", "selective", "full")] == ["flash", "flash", "full"]
    assert [keeping("naive", again) for again in ("none", "selective", "full")] == ["naive", "selective", "full"]


@pytest.mark.parametrize(
    ("how", "sequence", "size"),
    [("naive", True, (34 * 2 * 3 * 8 + 5 * 4 * 4 * 3) // 4), ("naive", False, 10 * 2 * 3 * 8 + (24 * 2 * 3 * 8 + 5 * 4 * 4 * 3) // 4), ("selective", True, 34 * 2 * 3 * 8 // 4), ("full", True, 2 * 2 * 3 * 8)],
)  # fmt: skip
def test_korthikantis_shortcut(how: Any, sequence: bool, size: int) -> None:
    """s·b·h·(34 + 5·a·s/h)/t and s·b·h·(10 + 24/t + 5·a·s/(h·t)), of s 2, b 3, h 8, a 4 and t 4."""
    assert korthikanti_layer_bytes(2, 3, 8, 4, 4, Passes(keeping=how), sequence=sequence) == size


SMALL_LLAMA: Final = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512, "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "hidden_act": "silu",
}  # fmt: skip
SAVED_BESIDE_ADAPTERS: Final = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "oracle" / "activations_adapters.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize(
    "row", SAVED_BESIDE_ADAPTERS, ids=[f"{row['targets']}-{row['length']}" for row in SAVED_BESIDE_ADAPTERS]
)
def test_what_a_llama_saves_with_and_without_adapters(row: dict[str, Any], tmp_path: Path) -> None:
    """Every byte that autograd keeps of transformers' Llama and peft's adapters, but the words that the loss reads, and the table's of frozen ones."""
    (tmp_path / "config.json").write_text(json.dumps(SMALL_LLAMA))
    spec = tscale.load(tmp_path / "config.json")
    targets = find_targets(row["targets"]) if row["targets"] else None
    how = Training(
        PRECISIONS["pure-bf16"],
        micro_batch=row["batch"],
        kernels="eager",
        rank=8 if row["targets"] else None,
        lora_targets=targets,
    )
    lines = trainer(spec, how, row["length"]).needs(0).activations.lines
    apart = {"head.words", *(["embedding.tokens"] if row["targets"] else [])}
    assert sum(line.value for line in lines if line.name not in apart) == row["bytes"]
