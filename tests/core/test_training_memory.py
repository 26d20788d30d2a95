"""What a device needs for training: as published figures have it, and as its parts add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

import tscale
from tests.core.test_activations import TABLE_3, paper_model
from tests.helpers import has_stages, of_each, saves, saves_of_stages, table_of_all, trainable
from tscale.core.costs.activations import Passes, activation_bytes, keeping
from tscale.core.costs.schedules import in_flight
from tscale.core.costs.training_memory import Training, layer_bytes
from tscale.core.costs.training_moments import _whole_head_input, _whole_inputs
from tscale.core.costs.training_setup import Peak
from tscale.core.dtypes import DTYPES
from tscale.core.loss_kernels import KERNELS
from tscale.core.metric import Line
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Recompute
from tscale.core.sharding import tensor_degrees
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower, run_of
from tscale.models.stages import kinds_of_layers
from tscale.models.trainer import Trainer, trainer

RUN = SequenceLengths(target=1024)
FUSED = Passes(kernels="fused")
MIXED = Training(PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(), SequenceLengths(target=0))

FIGURE_1 = {
    "22B": (Parallelism(tensor=8), 59.25, 9.5625),
    "175B": (Parallelism(tensor=8, pipeline=8, interleave=3), 66.84375, 12.3515625),
    "530B": (Parallelism(tensor=8, pipeline=35, interleave=3), 114.0234375, 23.076171875),
    "1T": (Parallelism(tensor=8, pipeline=64), 131.25, 26.5625),
}
"""Plan, and GiB of activations a device with tensor parallelism, and with sequence parallelism and selective recompute."""


@pytest.mark.parametrize("model", FIGURE_1)
def test_figure_1_of_korthikanti(model: str) -> None:
    """The first stage of each of the paper's models, interleaved where it is; the statistics of norms left out."""
    plan, baseline, present = FIGURE_1[model]
    paper = MIXED._replace(micro_batch=TABLE_3[model][3], attention="naive", dropout=True)
    for training, gibibytes in (
        (paper._replace(plan=plan, recompute="none"), baseline),
        (paper._replace(plan=plan._replace(sequence=True), recompute="selective"), present),
    ):
        one = trainer(paper_model(model), training, 2048)
        place, most = one.worst()
        parts = {saved.name: saved.part for saved in one.kept[0]}
        inside = sum(
            line.value
            for line in most.activations.lines
            if parts[line.name] not in ("embedding", "head") and not line.name.endswith("statistics")
        )
        assert place == 0
        assert inside == gibibytes * 2**30


@pytest.mark.parametrize(("stages", "pieces"), [(4, 1), (8, 3), (35, 3), (64, 1)])
def test_micro_batches_in_flight(stages: int, pieces: int) -> None:
    """The first stage as Korthikanti 2022 says, 1 + (p-1)/(p·v) of all layers; the last one of a 1F1B schedule has one."""
    plan = Parallelism(pipeline=stages, interleave=pieces)
    flying, parts = in_flight(0, plan)
    of_all_layers = Fraction(flying, parts * stages)
    assert of_all_layers == (1 if pieces == 1 else 1 + Fraction(stages - 1, stages * pieces))
    assert in_flight(stages - 1, plan) == ((1, 1) if pieces == 1 else ((pieces - 1) * stages + 1, pieces))


@pytest.mark.parametrize("micro_batches", [1, 2, 5, 32])
@pytest.mark.parametrize("stages", [2, 3, 8])
def test_one_forward_one_backward_step_by_step(stages: int, micro_batches: int) -> None:
    """A brute-force run of the schedule: at each tick a stage goes backward where it can, forward where it may."""
    forward, backward, most = [0] * stages, [0] * stages, [0] * stages
    while backward[0] < micro_batches:
        ready = []
        for stage in range(stages):
            down = forward[stage] if stage == stages - 1 else backward[stage + 1]
            up = micro_batches if stage == 0 else forward[stage - 1]
            flying = forward[stage] - backward[stage]
            if backward[stage] < down and (flying >= stages - stage or forward[stage] == micro_batches):
                ready.append((stage, "backward"))
            elif forward[stage] < up and flying < stages - stage:
                ready.append((stage, "forward"))
        for stage, what in ready:
            if what == "forward":
                forward[stage] += 1
            else:
                backward[stage] += 1
            most[stage] = max(most[stage], forward[stage] - backward[stage])
    assert most == [in_flight(stage, Parallelism(pipeline=stages), micro_batches)[0] for stage in range(stages)]


@pytest.mark.parametrize(("stages", "pieces"), [(4, 2), (4, 4), (8, 3)])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_an_interleaved_schedule_keeps_no_more_than_a_step_has(stages: int, pieces: int, rounds: int) -> None:
    """Megatron-LM's warm-up of 2·(p - i - 1) + (v - 1)·p pieces and one more, but never more than all pieces of the step."""
    micro_batches = rounds * stages
    for stage in range(stages):
        kept, most = 0, 0
        warm_up = min(2 * (stages - stage - 1) + (pieces - 1) * stages, micro_batches * pieces)
        for forward in range(micro_batches * pieces):  # forward, and backward behind the warm-up
            kept += 1
            most = max(most, kept)
            kept -= forward >= warm_up
        assert in_flight(stage, Parallelism(pipeline=stages, interleave=pieces), micro_batches) == (most, pieces)


@of_each(trainable())
def test_stages_keep_what_the_model_keeps(name: str) -> None:
    """Dealt to two stages, and to every layer its own: each line is in one stage, or in several that add up to it."""
    spec = tscale.load(name)
    if not has_stages(spec) or table_of_all(spec) or spec.layers % 2:
        return
    run, passes = run_of(spec, 64), Passes(2, "naive", 2, dropout=True)
    whole = activation_bytes(saves(spec), run, passes).total
    for pipeline in (2, int(spec.layers)):
        kept = saves_of_stages(spec, Parallelism(pipeline=pipeline))
        assert sum(activation_bytes(stage, run, passes).total for stage in kept) == whole


@of_each(trainable())
def test_shares_of_activations_make_up_the_whole(name: str) -> None:
    """Cut over devices: what nothing divides is as large on each, what is padded a little larger, and the rest adds up."""
    spec = tscale.load(name)
    run, passes = run_of(spec, 64), Passes(1, "naive", 2, dropout=True)
    whole = activation_bytes(saves(spec), run, passes)
    named = {saved.name: saved for saved in saves(spec)}
    for tensor in tensor_degrees(lower(spec)):
        if tensor > 1 and 64 % tensor == 0:
            part = activation_bytes(saves(spec), run, passes, Parallelism(tensor=tensor, sequence=True))
            for line, total in zip(part.lines, whole.lines, strict=True):
                saved = named[line.name]
                copies = tensor if saved.gathered and saved.cut is None else 1
                if saved.cut is not None and saved.cut.otherwise == "repeated":
                    copies = tensor // min(tensor, int(saved.cut.pieces))
                excess = tensor * line.value - copies * total.value
                if saved.cut is not None and saved.cut.beside is not None and saved.cut.beside[1] < tensor:
                    of_groups, groups = saved.cut.beside  # which several devices have
                    excess -= (tensor // groups - 1) * of_groups * total.value // saved.width
                padded = saved.cut is not None and saved.cut.otherwise == "padded"
                padded = padded or run.length(saved.stream) % tensor > 0  # Whisper hears 1,500 positions
                once = saved.stream == "once"
                assert excess == 0 or (padded and 0 < excess < tensor * total.value) or once, line.name


def one_device(name: str, training: Training, context: int) -> Trainer:
    return trainer(tscale.load(name), training, context)


@pytest.mark.parametrize("name", ["gpt3", "llama31-8b", "deepseek-v3", "t5-11b", "bert-large", "pythia-12b"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_plan_of_one_device_changes_nothing(name: str, zero: int) -> None:
    alone = one_device(name, MIXED, 512)
    assert one_device(name, MIXED._replace(plan=Parallelism(zero=zero)), 512).needs(0) == alone.needs(0)


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "micro-batch": {"micro_batch": 3},
    "recompute": {"recompute": "full"},
    "scores": {"attention": "naive"},
    "dropout": {"dropout": True},
    "fp32": {"precision": PRECISIONS["fp32"]},
    "adapters": {"rank": 16},
    "qlora": {"rank": 16, "base": DTYPES["nf4"]},
    "tensor": {"plan": Parallelism(tensor=2)},
    "sequence": {"plan": Parallelism(tensor=2, sequence=True)},
    "context": {"plan": Parallelism(context=2)},
    "kernels": {"kernels": "eager"},
    "loss": {"loss": "plain"},
}
"""Ways of training that keep other things of a micro-batch, or of the loss."""


@pytest.mark.parametrize("name", ["llama31-8b", "mixtral-8x7b"])
def test_what_is_kept_in_one_way_of_training_is_taken_for_no_other(name: str) -> None:
    """A spec that was asked in all ways, forward and backward, has the needs of one that is new each time."""
    spec = tscale.load(name)
    ways = [MIXED._replace(**change) for change in WAYS.values()]
    anew = [trainer(replace(spec), way, 512).needs(0) for way in ways]
    assert [trainer(spec, way, 512).needs(0) for way in ways] == anew
    assert [trainer(spec, way, 512).needs(0) for way in reversed(ways)] == anew[::-1]
    assert trainer(spec, MIXED, 256).needs(0).activations.total < anew[0].activations.total
    assert len({str(one) for one in anew}) == len(anew)


def test_qlora_of_65b_on_48_gb() -> None:
    """Dettmers 2023: finetuning 65B takes more than 780 GB in 16 bits, and fits one GPU of 48 GB with 4-bit weights.

    The 780 GB are 12 bytes a parameter, without a master copy: 2 + 2 + 8; its adapters are kept so as well, in bf16 (section
    4.3), with rank 64 on every matrix (appendix B) and each layer computed again (section 2).
    """
    precision = PRECISIONS["pure-bf16"]._replace(states=4)
    plain = one_device("llama-65b", MIXED._replace(precision=precision, recompute="full"), 512).needs(0)
    states = plain.weights.total + plain.gradients.total + plain.optimizer.total
    assert 780e9 < states < 790e9
    lora = MIXED._replace(precision=precision, recompute="full", rank=64, base=DTYPES["nf4"])
    assert one_device("llama-65b", lora, 512).needs(0).total < 48e9


def test_adapters_keep_the_rank_of_every_matrix() -> None:
    """LLaMA 7B: seven matrices a layer, 16 numbers of 2 bytes a token between the two of each.

    The head is frozen and has no adapter: its input, 4,096 numbers, is not saved (transformers 4.46's Trainer with peft 0.13 saves
    each layer's input and the last one's output, and nothing else of that width).
    """
    base = one_device("llama-7b", MIXED, 100).needs(0).activations.total
    lora = one_device("llama-7b", MIXED._replace(rank=16), 100).needs(0).activations.total
    assert lora - base == 32 * 7 * 16 * 2 * 100 - 4096 * 2 * 100


def test_the_moment_that_needs_most() -> None:
    """GPT-3 alone: in steps the scores' gradient, 2·2·96·2048² bytes, when the logits are gone; fused and with a large vocabulary
    the loss: of the 14 bytes a logit that are reserved for transformers' it keeps 6."""
    naive = one_device("gpt3", MIXED._replace(attention="naive"), 2048).needs(0)
    assert naive.logits.total == 0
    assert (naive.temporary.lines[0].name, naive.temporary.total) == ("widest_gradient_twice", 2 * 2 * 96 * 2048 * 2048)
    fused = one_device("gemma2-9b", MIXED, 2048).needs(0)
    assert fused.logits.total == 6 * 256_000 * 2048
    assert (fused.temporary.lines[0].name, fused.temporary.total) == ("loss_at_its_peak", 8 * 256_000 * 2048)


@pytest.mark.parametrize("name", KERNELS)
def test_moments_are_not_added_up(name: str) -> None:
    """Whatever the loss: at its moment it is all that a micro-batch needs beside what is kept; at a layer's there is none of it."""
    one = one_device("llama31-8b", MIXED._replace(loss=name, recompute="full"), 4096)
    most, loss = one.needs(0), one.loss(0)
    assert loss is not None
    moment = most.logits.total + most.temporary.total
    if most.logits.lines:
        assert moment == loss.reserved
    else:
        assert moment > loss.reserved
        assert [line.name for line in most.temporary.lines] == ["layer_again", "widest_gradient_twice"]


def test_zero_3_gathers_a_layer_at_a_time() -> None:
    """Llama 3.1 8B: 218,103,808 weights in the matrices of a layer, and 525,336,576 in the embedding and in the head.

    FSDP2 keeps its root group, embedding and head, whole from forward to backward, and gathers a layer ahead.
    """
    plan = Parallelism(data=8, zero=3)
    for context, moment in ((1, "unscattered_gradients"), (8192, "loss_at_its_peak")):
        lines = {
            line.name: line.value
            for line in one_device("llama31-8b", MIXED._replace(plan=plan), context).needs(0).temporary.lines
        }
        assert moment in lines
        assert lines["gathered_weights"] == 2 * (2 * 128_256 * 4096 + 2 * 218_103_808)
        assert lines.get("unscattered_gradients", 2 * 128_256 * 4096) == 2 * 128_256 * 4096


def test_full_recompute_makes_one_layer_anew() -> None:
    one = one_device("gpt3", MIXED._replace(attention="naive", recompute="full"), 2048)
    lines = {line.name: line.value for line in one.needs(0).temporary.lines}
    plain = one.with_(recompute="none")
    assert lines["layer_again"] == layer_bytes(plain.layers[0], plain.training)
    assert lines["layer_again"] * 96 == sum(
        line.value
        for line in activation_bytes(
            plain.kept[0], SequenceLengths(target=2048), Passes(1, keeping("naive", "none"))
        ).lines
        if not line.name.startswith(("embedding", "norm.final", "head"))
    )


@pytest.mark.parametrize("name", ["qwen3-8b", "qwen3-30b-a3b", "gemma2-9b", "falcon-7b", "gpt-neox-20b", "olmo-2-7b"])
def test_equal_layers_keep_equal_parts(name: str) -> None:
    """One layer's bytes, times their number, are all that the layers keep, norms of queries and keys among them."""
    one = one_device(name, MIXED, 1024)
    kept = [saved for saved in one.kept[0] if saved.part not in ("embedding", "head")]
    assert layer_bytes(one.layers[0], one.training) * one.spec.layers == activation_bytes(kept, RUN, FUSED).total


def test_a_layer_has_one_mixer() -> None:
    """Qwen3-Next has 36 delta nets and 12 attentions: a layer keeps what the greater of them does, and its norm."""
    one = one_device("qwen3-next-80b-a3b", MIXED, 1024)
    kept, places = one.kept[0], {"delta_net": 36, "attention": 12, "experts": 48}
    each = {
        place: activation_bytes(
            [saved for saved in kept if saved.name.startswith((f"{place}.", f"norm.{place}."))], RUN, FUSED
        ).total
        // layers
        for place, layers in places.items()
    }
    assert layer_bytes(one.layers[0], one.training) == max(each["delta_net"], each["attention"]) + each["experts"]


def test_scores_are_computed_again_of_the_layer_that_has_them() -> None:
    """Jamba's 32 heads of attention, whose probabilities and repeated keys and values are not kept, beside 28 Mambas."""
    s = 4096
    one = one_device("jamba", MIXED._replace(attention="naive", recompute="selective", loss="in-place"), s)
    lines = {line.name: line.value for line in one.needs(0).temporary.lines}
    assert lines["scores_again"] == 32 * s**2 * 2 + 2 * 2 * (4096 - 1024) * s


def test_the_layer_computed_again_is_one_that_there_is() -> None:
    """Jamba's attention stands beside a dense feed-forward and never beside experts, which half of its Mambas have.

    A token's 32·3,000 scores, two norms' inputs with a statistic each, inputs, queries, sums, repeated keys and values, and what a
    fused gate of 14,336 keeps.
    """
    one = one_device("jamba", MIXED._replace(attention="naive", recompute="full", loss="one-kernel"), 3000)
    lines = {line.name: line.value for line in one.needs(0).temporary.lines}
    assert lines["layer_again"] == 3000 * (2 * (8 * 4096 + 32 * 3000 + 3 * 14_336) + 2 * 4)


def test_an_interleaved_schedule_has_two_rounds_of_its_first_piece_in_flight() -> None:
    """By walking through the schedule of Narayanan 2021, section 2.2: p = 3 stages of v = 2 pieces, 12 micro-batches."""
    p, v, batches = 3, 2, 12
    forward = [(piece, group * p + place) for group in range(batches // p) for piece in range(v) for place in range(p)]
    backward = [(v - 1 - piece, batch) for piece, batch in forward]
    held: set[tuple[int, int]] = set()
    most = 0
    ahead = in_flight(0, Parallelism(pipeline=p, interleave=v))[0]
    for step, piece in enumerate(forward):
        held.add(piece)
        most = max(most, sum(number == 0 for number, _ in held))
        if step >= ahead - 1:
            held.remove(backward[step - ahead + 1])
    spec = tscale.load("bloom-7b1")
    flying = trainer(spec, MIXED._replace(plan=Parallelism(pipeline=p, interleave=v)), 2048).needs(0).activations
    once = trainer(spec, MIXED, 2048).needs(0).activations
    lines = [{line.name: line.value for line in quantity.lines} for quantity in (flying, once)]
    assert lines[0]["norm.embedding.input"] == most * lines[1]["norm.embedding.input"]
    assert most == 2 * p


def test_fp8_recipes_keep_inputs_of_products_in_8_bits() -> None:
    """Llama 3 70B, a token and layer: two norms and their outputs in 8 bits, attention's output in both, and the product of the gate.

    d + 5·h·hd/2... in bytes 6·d + 5·h·hd + 4·kv·hd + 5·ff + 4·h + 8, where 16 bits have 8·d + 4·h·hd + 4·kv·hd + 6·ff + 4·h + 8.
    """
    d, heads, kv_heads, head_dim, ff = 8192, 64, 8, 128, 28_672
    for precision, expected in (
        ("fp8", 6 * d + 5 * heads * head_dim + 4 * kv_heads * head_dim + 5 * ff + 4 * heads + 8),
        ("bf16", 8 * d + 4 * heads * head_dim + 4 * kv_heads * head_dim + 6 * ff + 4 * heads + 8),
    ):
        one = one_device("llama-3-70b", MIXED._replace(precision=PRECISIONS[precision]), 1)
        assert layer_bytes(one.layers[0], one.training) == expected


def test_a_fp8_run_without_recomputation_fits_where_it_ran() -> None:
    """Llama 3 70B on 64 H100 of 80 GB, 1,602 tokens/s a GPU (NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md)."""
    plan = Parallelism(tensor=4, sequence=True, pipeline=8, interleave=5, data=2, zero=1)
    one = trainer(tscale.load("llama-3-70b"), MIXED._replace(precision=PRECISIONS["fp8"], plan=plan), 8192)
    assert one.worst()[1].total < 81_559 * 2**20 - 8 * 10**9


def test_adapters_on_some_matrices_ask_for_their_inputs_alone() -> None:
    """Llama 3.1 8B with adapters on queries and values: the feed-forward's input and its product, 2·(4096 + 14336) bytes a token, go."""
    every = one_device("llama31-8b", MIXED._replace(rank=8), 512).needs(0).activations.total
    some = one_device("llama31-8b", MIXED._replace(rank=8, lora_targets=frozenset({"q", "v"})), 512)
    fewer_adapters = 2 * 8 * 512 * 5 * 32
    assert every - some.needs(0).activations.total == 2 * (4096 + 14_336) * 512 * 32 + fewer_adapters


def test_layers_that_the_host_keeps() -> None:
    """One layer's input is on its way, of 32; what stands outside of layers stays."""
    how = MIXED._replace(recompute="full")
    plain = one_device("llama31-8b", how, 512).needs(0).activations.total
    away = one_device("llama31-8b", how._replace(offload=frozenset({"activations"})), 512).needs(0).activations.total
    assert plain - away == 31 * 2 * 4096 * 512


def test_a_base_in_few_bits_has_its_largest_matrix_unpacked() -> None:
    """LLaMA 65B in 4 bits: 8,192 by 22,016 in 16 bits while a layer goes backward; of a base in 16 bits there is nothing to unpack."""
    lora = MIXED._replace(recompute="full", rank=64, loss="fused-linear")
    packed, plain = (
        {line.name: line.value for line in one_device("llama-65b", one, 64).needs(0).temporary.lines}
        for one in (lora._replace(base=DTYPES["nf4"]), lora)
    )
    assert packed["unpacked_matrix"] == 2 * 8192 * 22_016
    assert "unpacked_matrix" not in plain


def test_a_frozen_model_has_no_gradients_to_scatter() -> None:
    """ZeRO's second stage over 8 devices: GPT-2's largest, its table of 50,257 by 768, in 16 bits before it is divided."""
    plain = MIXED._replace(plan=Parallelism(data=8, zero=2), loss="fused-linear", recompute="full")
    of_all, of_adapters = (
        {line.name: line.value for line in one_device("gpt2", one, 64).needs(0).temporary.lines}
        for one in (plain, plain._replace(rank=8))
    )
    assert of_all["unscattered_gradients"] == 2 * 50_257 * 768
    assert "unscattered_gradients" not in of_adapters


def test_a_first_layer_without_a_norm_is_a_kind_of_its_own() -> None:
    """ModernBERT's first layer has no norm before its attention, and each other one has (Warner 2024)."""
    spec = tscale.load("modernbert-base")
    (kinds,) = kinds_of_layers(spec, lower(spec), Parallelism())
    normed = {any(entry.name == "norm.attention" for entry in kind.entries) for kind in kinds}
    assert normed == {False, True}


def test_the_heads_input_is_whole_along_the_sequence_where_dtensor_cuts_it() -> None:
    """Llama 3.1 8B by FSDP2 on 2 ways of tensor parallelism: 8,192 positions of 4,096 numbers in 16 bits, held twice of an allocator.

    Without sequence parallelism there is nothing to gather; Megatron gathers it within the product.
    """
    spread = MIXED._replace(
        precision=PRECISIONS["fp32-master"], plan=Parallelism(tensor=2, sequence=True, data=4, zero=3)
    )
    stream = 8192 * 4096 * 2
    each: tuple[tuple[Peak, int], ...] = (("reserved", 2), ("held", 1))
    for peak, arrays in each:
        lines = {
            line.name: line.value for line in one_device("llama31-8b", spread, 8192).needs(0, peak).temporary.lines
        }
        assert lines["whole_head_input"] == arrays * stream
    for other in (
        spread._replace(plan=spread.plan._replace(sequence=False)),
        spread._replace(precision=PRECISIONS["bf16"]),
    ):
        lines = {line.name: line.value for line in one_device("llama31-8b", other, 8192).needs(0).temporary.lines}
        assert "loss_at_its_peak" in lines and not lines.get("whole_head_input")


@pytest.mark.parametrize("gathered", [_whole_inputs, partial(_whole_head_input, peak="held")])
def test_of_layouts_those_that_do_not_cut_sequences_gather_nothing(gathered: Callable[..., Iterator[Line]]) -> None:
    """Two layouts at once, of which the first cuts sequences, of a model of no layers at all: no bytes of either."""
    cuts: Any = np.array([True, False])
    fsdp = next(one for one in PRECISIONS.values() if one.gathered)
    training = Training(fsdp, plan=Parallelism(tensor=2, data=2, zero=3, sequence=cuts))
    assert training.fsdp
    (line,) = gathered((), training)
    assert list(line.value) == [0, 0]  # type: ignore[call-overload]


FULLEST = {
    "gpt3": Parallelism(tensor=8, sequence=True, pipeline=8, data=4, zero=1),
    "deepseek-v3": Parallelism(pipeline=4, data=4, zero=2, expert=4, stages=(20, 20, 15, 6)),
    "gemma-2-27b": Parallelism(pipeline=5, data=2, zero=3),
    "jamba": Parallelism(tensor=2, pipeline=6, interleave=2, data=2, zero=2),
    "llama-3.1-405b": Parallelism(tensor=8, pipeline=16, schedule="dualpipe"),
    "t5-11b": Parallelism(tensor=8, pipeline=4),
    "albert-xxlarge": Parallelism(pipeline=4),
}
"""Stages of one kind, of uneven sizes, of layers of several kinds, with both ends, of two stacks, with one block in all layers."""


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("name", FULLEST)
def test_the_fullest_stage_is_the_first_that_needs_most_of_all(name: str, recompute: Recompute) -> None:
    """Not of those alone that are asked, which have something that none before them has."""
    spec, plan = tscale.load(name), FULLEST[name]
    one = trainer(spec, MIXED._replace(plan=plan, recompute=recompute, batch=256), 512)
    totals = [one.needs(stage).total for stage in range(plan.pipeline)]
    assert one.worst()[0] == totals.index(max(totals))
    assert one.totals() == (max(totals), max(one.least(stage) for stage in range(plan.pipeline)))


def test_larger_micro_batches_are_fewer_of_a_step() -> None:
    """32 micro-batches, then 8 and 4: with no more of them than stages, gradients are kept of one interleaved piece at a time."""
    training = MIXED._replace(plan=Parallelism(pipeline=8, interleave=3, data=16, zero=2), batch=512)
    spec = tscale.load("gpt3")
    one = trainer(spec, training, 2048)
    for many in (1, 4, 8):
        assert one.with_(micro_batch=many).totals() == trainer(spec, training._replace(micro_batch=many), 2048).totals()
