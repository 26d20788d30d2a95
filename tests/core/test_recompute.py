"""What layers save under a policy, as torch's own autograd and partitioner have it; and policies that are about some layers alone."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

import tscale
from tests.importer.recorded import recorded
from tscale.blocks import Attention, Computed, FeedForward, Norm
from tscale.core import recompute
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.costs.recompute import saved_under
from tscale.core.costs.training_moments import WHOLE_BY_DTENSOR
from tscale.core.costs.training_setup import Training
from tscale.core.costs.wall_time import least_recomputed_flops, recomputed_flops
from tscale.core.layers import Every
from tscale.core.ledger import ALWAYS, Block, Cut, Group, Ledger, Matmul, Saved
from tscale.core.loss_kernels import Logits, loss_bytes
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Again, find_again
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.spec import Head, ModelSpec
from tscale.models.stages import recomputed_stages
from tscale.models.trainer import Trainer, trainer

RECORDED = recorded("policies.jsonl")
POLICIES = [record for record in RECORDED if "policy" in record]
MIXED = Training(PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(), SequenceLengths(target=0))


def layer_of(record: dict[str, Any]) -> ModelSpec:
    return ModelSpec(
        name="layer", layers=1, d_model=record["d_model"], vocabulary=1, head=Head(kind="none"), norm=Norm(kind="rmsnorm"),
        attention=Attention(heads=record["heads"], kv_heads=record["kv_heads"], bias=False),
        feed_forward=FeedForward(d_ff=record["d_ff"], gated=True), positions=Computed(kind="none"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "record", POLICIES, ids=[f"{r['policy']}-{r['norms']}-{r['compiled']}-{r['d_model']}" for r in POLICIES]
)
def test_a_layer_saves_what_torch_keeps_alive(record: dict[str, Any]) -> None:
    """To the byte, beside the layer's own input."""
    ledger, tokens = lower(layer_of(record), saves=True), record["batch"] * record["length"]
    policy = record["policy"]
    passes = Passes(record["batch"], norms=record["norms"] if policy == "none" else "fused")
    kept = [
        saved
        for saved in saved_under(ledger, policy, "flash", compiled=record["compiled"])
        if saved.part not in ("embedding", "head")
    ]
    own_input = 0 if policy == "none" else 2 * tokens * record["d_model"]
    counted = activation_bytes(kept, SequenceLengths(target=record["length"]), passes).total - own_input
    if policy == "none":  # of a norm in steps the input is kept in 32 bits alone
        assert record["norms"] in ("eager", "composite")
    assert counted == record["bytes"]


def test_a_compiled_loss_keeps_the_logits_in_their_own_format() -> None:
    (record,) = (one for one in RECORDED if "loss" in one)
    n = record["tokens"] * record["vocabulary"]
    assert {key for key in record["kept"] if str(record["vocabulary"]) in key} == {"bfloat16 [64, 512]"}
    logits = Logits(n, record["tokens"], record["vocabulary"], 8, 2, trained=False)
    assert loss_bytes("chunked-compiled", logits) == (2 * n, 2 * n + 2 * n // 8, 2 * n + 2 * n // 8)


@pytest.mark.parametrize("record", [one for one in RECORDED if "devices" in one])
def test_dtensor_has_whole_arrays(record: dict[str, Any]) -> None:
    """At the peak of a layer's backward pass; what is counted of it is within 10% of what is alive, norms in steps and all."""
    assert record["whole"] == WHOLE_BY_DTENSOR
    plan = Parallelism(tensor=record["devices"], sequence=True, data=2, zero=3)
    how = Training(
        PRECISIONS["fp32-master"],
        OPTIMIZERS["adamw"],
        plan,
        SequenceLengths(target=0),
        record["batch"],
        recompute="full",
        kernels="eager",
    )
    spec = layer_of(record)
    lines = {line.name: line.value for line in trainer(spec, how, record["length"]).needs(0).temporary.lines}
    counted = sum(lines[name] for name in ("layer_again", "widest_gradient_twice", "whole_inputs"))
    assert counted == pytest.approx(record["peak"], rel=0.1)


def kept(model: Trainer) -> int:
    return sum(model.needs(stage).activations.total for stage in range(len(model.shares)))


def llama(recompute: str, **given: Any) -> Trainer:
    again = find_again(recompute)
    how = MIXED._replace(recompute=again.policy, again=again if again.of_some else None, loss="one-kernel", **given)
    return trainer(tscale.load("llama-3.1-8b"), how, 1024)


@pytest.mark.parametrize("policy", ["full", "op", "selective"])
def test_some_layers_keep_as_much_less_as_they_are(policy: str) -> None:
    """Llama 3.1 8B, 32 equal layers: with k of them under a policy, k times the difference is not kept."""
    none, every = kept(llama("none")), kept(llama(policy))
    for some, layers in ((f"{policy}:8", 8), (f"{policy}:0-3,31", 5), (f"{policy}:32", 32)):
        assert kept(llama(some)) == none - layers * (none - every) // 32


def test_the_first_layers_of_each_stage() -> None:
    """4 of the 8 layers of each of 4 stages, of which 4, 3, 2 and 1 micro-batches are in flight: half of the difference is not kept."""
    plan = Parallelism(pipeline=4)
    none, every, half = (kept(llama(text, plan=plan)) for text in ("none", "full", "full:4"))
    assert none - half == (none - every) // 2


def test_a_layer_is_computed_again_where_some_are() -> None:
    """GPT-3: as where all are, but for the layer's input, which is among what is kept."""
    how = MIXED._replace(recompute="full", loss="one-kernel")
    every, some = (
        trainer(tscale.load("gpt3"), how._replace(again=again), 2048).needs(0).temporary.lines
        for again in (None, find_again("full:48"))
    )
    lines = [{line.name: line.value for line in each} for each in (every, some)]
    assert lines[1]["layer_again"] == lines[0]["layer_again"] - 2 * 12_288 * 2048


def test_a_policy_by_name() -> None:
    assert find_again("op") == Again("op")
    assert find_again("full:8") == Again("full", first=8)
    assert find_again("full:2-4,9").layers == (2, 3, 4, 9)
    assert find_again("full:0") == Again()
    assert doctest.testmod(recompute) == (0, 1)
    for wrong in ("some", "full:", "none:3", "full:x", "full:-1", "full:5-2", "op:0-3,9-8"):
        with pytest.raises(RequestError, match="--recompute takes none, selective, op or full"):
            find_again(wrong)


def test_layers_that_there_are_none_of() -> None:
    with pytest.raises(RequestError, match=r"llama-3\.1-8b has layers 0 to 31: --recompute names 32"):
        llama("full:30-32")
    how = MIXED._replace(recompute="full", again=find_again("full:2"))
    with pytest.raises(RequestError, match="t5-3b has two stacks"):
        trainer(tscale.load("t5-3b"), how, 128)


def test_an_output_is_whole_on_each_device_where_rows_are_cut() -> None:
    """Of five products the first, the third and the fifth: not cut, cut by columns, and by rows, which leaves a sum on each device."""
    up = Matmul("a", "up", "feed_forward", "target", 8, 20, block=Block("decoder", "feed-forward"))
    columns, rows = up._replace(name="c", cut=Cut(20)), up._replace(name="e", d_in=20, d_out=8, cut=Cut(20, "in"))
    products = (up, up._replace(name="b"), columns, up._replace(name="d"), rows)
    ledger = Ledger("x", (Group(Every(), "decoder", 3, None, products),))
    found = [
        (one.name, one.width, one.cut, one.gathered, one.used)
        for one in saved_under(ledger, "op", "flash", compiled=True)
    ]
    assert found == [
        ("a.output", 20, None, False, 3),
        ("c.output", 20, Cut(20), False, 3),
        ("e.output", 8, None, True, 3),
    ]


def test_experts_save_every_second_product() -> None:
    """Qwen3 30B-A3B: queries and values; the router, and of each expert's three matrices the second."""
    spec = tscale.load("qwen3-30b-a3b")
    saved = [
        one for one in saved_under(lower(spec, saves=True), "op", "flash", compiled=True) if one.name.endswith("output")
    ]
    widths = [int(one.width) * int(one.used) // 48 for one in saved]
    assert widths == [32 * 128, 4 * 128, 128, 8 * 768]
    assert all(isinstance(one, Saved) and one.keeping == ALWAYS for one in saved)


LLAMA = tscale.load("llama-3.1-8b")
LAYER = {"q": (4096, 4096), "k": (4096, 1024), "v": (4096, 1024), "o": (4096, 4096),
         "w1": (4096, 14336), "w3": (4096, 14336), "w2": (14336, 4096)}  # fmt: skip
"""The products of a layer of Llama 3.1 8B in the order in which its forward pass meets them."""
POSITIONS = 1000


def again(policy: str) -> int:
    """FLOPs of a sequence that are computed again."""
    ledger, how = lower(LLAMA), find_again(policy)
    parts = [ledger] if not how.of_some else [part for part, _ in recomputed_stages(LLAMA, Parallelism(), how, ledger)]
    return sum(int(recomputed_flops(part, SequenceLengths(target=POSITIONS), how.policy)) for part in parts)


def test_op_computes_every_second_product_again() -> None:
    """A walk over the products as torchtitan's policy counts them: it saves the first, the third, ... of a layer."""
    flops = 0
    for place, (d_in, d_out) in enumerate(LAYER.values()):
        flops += 2 * POSITIONS * d_in * d_out if place % 2 else 0
    assert again("op") == 32 * flops


def test_some_layers_compute_their_part_again() -> None:
    assert again("full:8") == again("full") // 4
    assert again("full:0-3,9") == 5 * again("full") // 32
    assert again("op:31-31") == again("op") // 32
    assert again("full:0") == 0


def test_the_last_product_of_a_layer_is_never_needed_again() -> None:
    """Under op w2 is saved; of whole layers it is what torch.utils.checkpoint stops before."""
    run, (d_in, d_out) = SequenceLengths(target=POSITIONS), LAYER["w2"]
    ledger = lower(LLAMA)
    assert least_recomputed_flops(ledger, run, "op") == again("op")
    causal = recomputed_flops(ledger, run, "full", "causal")
    assert least_recomputed_flops(ledger, run, "full") == causal - 32 * 2 * POSITIONS * d_in * d_out
