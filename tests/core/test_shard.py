"""One device's share of a model: the parts make up the whole, line by line, and a degree that cannot divide is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import tscale
from tests.helpers import disclosed, has_stages, of_each, shares_weights, table_of_all
from tscale.blocks import Attention, KimiDelta, Mamba2
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params, size
from tscale.core.ledger import Buffer, Cache, Conv, Cut, Entry, Ledger, Matmul, Scores
from tscale.core.parallelism import Parallelism, divisors, or_list
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import division, serving_share, shard, tensor_degrees
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.stages import stages


@of_each(disclosed())
def test_one_device_changes_nothing(name: str) -> None:
    ledger = tscale.lower(tscale.load(name))
    assert shard(ledger, Parallelism()) == ledger
    assert stages(tscale.load(name), Parallelism()) == (ledger,)


@of_each(disclosed())
def test_the_shares_of_all_devices_make_up_the_whole(name: str) -> None:
    """What is more than the whole is what a line says: kept whole by each, held by several, or padding, less than a row each."""
    ledger = tscale.lower(tscale.load(name))
    for tensor in tensor_degrees(ledger):
        plan = Parallelism(tensor=tensor)
        for whole, part in zip(ledger.entries, shard(ledger, plan).entries, strict=True):
            how = division(whole, plan)
            copies_of = getattr(whole, "stored", 1) // (getattr(part, "stored", 1) or 1) or 1  # blocks on a diagonal
            of_all = tensor * size(part) // copies_of
            if how == "whole":
                assert part == whole
                continue
            pieces = whole.cut.pieces if not isinstance(whole, Buffer) and whole.cut else 1
            shares, *rest = map(int, re.findall(r"\d+", how.removeprefix("1/")))
            copies = rest[0] if rest else 1
            assert shares * copies == tensor
            padding = of_all - copies * size(whole) - _repeated(whole, tensor)
            # A bias is not cut with a matrix that is cut along its rows: it is added once, after the sum.
            by_rows = isinstance(whole, Matmul) and isinstance(part, Matmul) and part.d_out == whole.d_out
            by_rows = by_rows and copies_of == 1
            biases = (tensor - 1) * whole.d_out * whole.bias if by_rows and isinstance(whole, Matmul) else 0
            assert padding - biases == 0 or ("padded" in how and 0 < padding * pieces < tensor * size(whole)), (
                whole,
                how,
            )


def _repeated(whole: Entry, tensor: int) -> int:
    """Numbers of groups that several devices have, beyond the first of them: of Mamba-2's inputs and outputs of states."""
    if isinstance(whole, Buffer) or whole.cut is None or whole.cut.beside is None:
        return 0
    of_groups, groups = whole.cut.beside
    times = tensor // groups - 1 if groups < tensor else 0
    width = whole.d_out if isinstance(whole, Matmul) else whole.channels if isinstance(whole, Conv) else of_groups
    return times * of_groups * size(whole) // width


@of_each(disclosed())
def test_stages_make_up_the_model(name: str) -> None:
    """Every layer of the language model is in one stage; only a tied head has a copy of its table in the last."""
    spec = tscale.load(name)
    ledger = tscale.lower(spec)
    if not has_stages(spec):
        if spec.kind != "encoder-decoder":  # their stages: tests/models/test_pipelines.py
            with pytest.raises(RequestError, match="use --pipeline 1"):
                stages(spec, Parallelism(pipeline=2))
        return
    ledger = replace(ledger, towers=())  # which stages do not divide: they are held beside the first one
    head = next((entry for entry in ledger.entries if entry.name == "head"), None)
    copy = size(head) if isinstance(head, Matmul) and not head.stored else 0
    run = SequenceLengths(target=7, source=7)
    for pipeline in divisors(spec.layers)[1:]:
        parts = stages(spec, Parallelism(pipeline=pipeline))
        if not shares_weights(spec):
            copies = copy + (pipeline - 1) * table_of_all(spec)
            assert sum(params(part).total for part in parts) == params(ledger).total + copies
        assert sum(forward_flops(part, run).total for part in parts) == forward_flops(ledger, run).total


def stored(ledger: tscale.Ledger, name: str) -> int:
    return sum(entry.stored for entry in ledger.entries if isinstance(entry, Matmul) and entry.name == name)


def test_stages_of_several_pieces_take_turns() -> None:
    """DeepSeek-V3's three dense layers: of 61 layers cut to 60, in 10 stages of 2 pieces, all in the first piece."""
    spec = tscale.load("deepseek-v3", ["layers=60"])
    parts = stages(spec, Parallelism(pipeline=10, interleave=2))
    dense = [stored(part, "feed_forward.up") for part in parts]
    assert dense == [3, *[0] * 9]
    assert [stored(part, "experts.router") for part in parts] == [3, *[6] * 9]


def test_a_pattern_is_dealt_by_place() -> None:
    """Gemma 3: five local layers, then a global one; of 10 layers a stage, counted one by one."""
    spec = tscale.load("gemma3-27b", ["layers=60"])
    assert isinstance(spec.attention, Attention)
    pattern = spec.attention.pattern
    assert pattern is not None
    parts = stages(spec, Parallelism(pipeline=6))
    for stage, part in enumerate(parts):
        kinds = [pattern[layer % len(pattern)] for layer in range(10 * stage, 10 * stage + 10)]
        used = {entry.name: entry.used for entry in part.entries if isinstance(entry, Scores)}
        assert used == {
            "attention.scores.local": kinds.count("local"),
            "attention.scores.global": kinds.count("global"),
        }


def test_experts_are_dealt() -> None:
    ledger = tscale.lower(tscale.load("deepseek-v3"))
    part = shard(ledger, Parallelism(data=64, expert=64))
    whole_of = {entry.name: entry for entry in ledger.entries}
    for entry in part.entries:
        whole = whole_of[entry.name]
        if isinstance(entry, Matmul) and entry.experts > 1:
            assert isinstance(whole, Matmul)
            assert (entry.experts, entry.stored * 64, entry.used) == (4, whole.stored, whole.used)
        else:
            assert entry == whole


def test_few_key_value_heads_are_held_by_several() -> None:
    """Llama 3 70B has 8 key-value heads: of 16 devices, two keep the same one."""
    ledger = tscale.lower(tscale.load("llama31-70b"))
    part = {entry.name: entry for entry in shard(ledger, Parallelism(tensor=16)).entries}
    assert part["attention.k"].d_out == 128  # type: ignore[union-attr]
    assert part["attention.cache"].width == 2 * 128  # type: ignore[union-attr]
    assert division(part["attention.k"], Parallelism(tensor=16)) == "1/8, 2 hold the same"


@pytest.mark.parametrize(
    ("model", "plan", "says"),
    [
        (
            "gpt3",
            Parallelism(tensor=5),
            "5 devices cannot share attention.q of gpt3, which is cut into 96 pieces: use 1, 2",
        ),
        (
            "recurrentgemma-2b",
            Parallelism(tensor=4),
            "4 devices cannot share rg_lru.x of recurrentgemma-2b, which is cut into",
        ),
        ("deberta-v2-xlarge", Parallelism(tensor=2), "tscale does not know how devices share convolution"),
        ("gpt3", Parallelism(expert=2, data=2), "gpt3 has no routed experts to assign to 2 devices"),
        (
            "deepseek-v3",
            Parallelism(expert=6, data=6),
            "6 devices cannot share 256 experts of deepseek-v3 evenly: use 1 or 2",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(model: str, plan: Parallelism, says: str) -> None:
    with pytest.raises(RequestError, match=re.escape(says)):
        shard(stages(tscale.load(model), plan)[0], plan)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Parallelism(interleave=2), "an interleaved schedule needs pipeline stages"),
        (Parallelism(sequence=True), "sequence parallelism is over the devices of tensor parallelism"),
        (Parallelism(data=6, expert=4), "expert parallelism by 4 is over the 6 devices"),
        (Parallelism(data=6, shards=4), "4 shards do not divide the 6 devices"),
    ],
)
def test_degrees_that_contradict_are_refused(plan: Parallelism, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        plan.check()


def test_devices_and_sharing() -> None:
    plan = Parallelism(tensor=8, pipeline=4, data=16, context=2, expert=32)
    assert (plan.devices, plan.sharing) == (8 * 4 * 16 * 2, 32)
    assert plan._replace(shards=8).sharing == 8


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(RequestError, match="61 layers are fewer than 62 stages: use at most 61 stages"):
        stages(tscale.load("deepseek-v3"), Parallelism(pipeline=62))
    with pytest.raises(RequestError, match="96 layers are fewer than 8 stages of 13 pieces each: use at most 7 stages"):
        stages(tscale.load("gpt3"), Parallelism(pipeline=8, interleave=13))


def test_lists_of_numbers() -> None:
    assert or_list([1]) == "1"
    assert or_list([1, 2]) == "1 or 2"
    assert or_list(divisors(96)) == "1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 or 96"
    assert or_list(divisors(720)).endswith(", ...")


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("falcon-h1-0.5b", 2), ("falcon-h1-0.5b", 8), ("bamba-9b", 4), ("mamba-codestral-7b", 4), ("mamba-codestral-7b", 16)],
)  # fmt: skip
def test_mamba_2_is_cut_as_vllm_cuts_it(name: str, tensor: int) -> None:
    """Groups are filled up until each device has one, and the whole is divided (vLLM's `extra_groups_for_head_shards`,
    `get_mamba_state_shape`): rows of the projection in and of the convolution, and numbers of the state."""
    spec = tscale.load(name)
    block = next(
        mixer for each in spec.mixers for mixer in (getattr(each, "mamba", each),) if isinstance(mixer, Mamba2)
    )
    inner, groups = block.heads * block.d_head, block.groups
    filled = groups if groups % tensor == 0 else tensor
    channels = inner + 2 * filled * block.d_state
    part = {
        entry.name.rpartition("mamba2.")[2]: entry for entry in shard(tscale.lower(spec), Parallelism(tensor)).entries
    }
    found = (part["in"], part["conv"], part["state"], part["out"])
    assert isinstance(found[0], Matmul)
    assert isinstance(found[1], Conv)
    assert isinstance(found[2], Cache)
    assert isinstance(found[3], Matmul)
    assert found[0].d_out == (inner + channels + block.heads) // tensor
    assert found[1].channels == channels // tensor
    assert found[2].width == inner // tensor * block.d_state
    inputs = part["conv_state"]
    assert isinstance(inputs, Cache)
    assert inputs.width == channels // tensor * block.d_conv
    assert found[3].d_in == inner // tensor


def test_kimi_linear_has_the_narrow_matrices_on_each_device() -> None:
    """vLLM's and SGLang's KimiDeltaAttention: f_a and g_a are replicated, all else is cut by heads."""
    spec = tscale.load("llama-3-8b", ["layers=1"])
    block = KimiDelta(kind="kimi-delta", heads=32, head_dim=128, gate_rank=128)
    ledger = tscale.lower(replace(spec, attention=block))
    part = {entry.name: entry for entry in shard(ledger, Parallelism(2)).entries if isinstance(entry, Matmul)}
    widths = {
        name.removeprefix("delta_net."): (one.d_in, one.d_out) for name, one in part.items() if "delta_net" in name
    }
    d, half = spec.d_model, 32 * 128 // 2
    assert widths == {
        "q": (d, half), "k": (d, half), "v": (d, half), "decay_down": (d, 128), "decay_up": (128, half),
        "gate_down": (d, 128), "gate_up": (128, half), "beta": (d, 16), "out": (half, d),
    }  # fmt: skip


def test_griffin_and_rwkv_are_cut_by_channels_that_do_not_meet() -> None:
    """RecurrentGemma 2B: of ten blocks on each gate's diagonal, two devices have five; RWKV-4: keys, values and the state."""
    parts = {
        name: {entry.name: entry for entry in shard(tscale.lower(tscale.load(name)), Parallelism(2)).entries}
        for name in ("recurrentgemma-2b", "rwkv-4-3b")
    }
    gates = parts["recurrentgemma-2b"]["rg_lru.gates"]
    assert isinstance(gates, Matmul)
    assert (gates.d_in, gates.d_out, gates.stored) == (256, 256, 18 * 2 * 5)
    out, state = parts["recurrentgemma-2b"]["rg_lru.out"], parts["rwkv-4-3b"]["rwkv.state"]
    assert isinstance(out, Matmul)
    assert isinstance(state, Cache)
    assert (out.d_in, out.d_out) == (1280, 2560)
    assert state.width == 3 * 2560 // 2


def _mixture(pieces: int) -> Ledger:
    """A matrix of attention, cut into 8, and one of 8 routed experts, of which a token has 4."""
    q = Matmul("q", "q", "attention", "target", 32, 32, cut=Cut(8))
    up = Matmul("up", "up", "feed_forward", "target", 32, 48, cut=Cut(pieces), experts=8, stored=8, used=4)
    return Ledger.of("it", (q, up))


def test_a_device_that_serves_computes_the_experts_that_it_has_for_the_tokens_of_all_ranks() -> None:
    """Four ranks, each with its own tokens: a pair of them has half of the experts, each cut in two, and of 4 x 4 tokens a half."""
    q, up = serving_share(_mixture(48), ServingLayout(1, expert=2, expert_tensor=2, attention_data=4)).entries
    assert q == _mixture(48).entries[0]
    assert isinstance(up, Matmul)
    assert (up.d_out, up.stored, up.experts, up.used, up.one_of) == (24, 4, 4, 8, True)


def test_devices_that_share_all_layers_cut_each_expert_for_the_tokens_that_there_are() -> None:
    q, up = serving_share(_mixture(48), ServingLayout(4, expert_tensor=4)).entries
    assert isinstance(q, Matmul)
    assert isinstance(up, Matmul)
    assert (q.d_out, up.d_out, up.stored, up.experts, up.used, up.one_of) == (8, 12, 8, 8, 4, False)


@pytest.mark.parametrize(
    ("layout", "advice"),
    [
        (ServingLayout(4, expert_tensor=4), "use 1 or 2"),
        (ServingLayout(4, expert=2, expert_tensor=4, attention_data=2), "use --expert-tensor 1 or 2"),
    ],
)
def test_experts_of_six_pieces_are_not_cut_by_four(layout: ServingLayout, advice: str) -> None:
    """Who cuts experts by a degree of their own is told which; 3 and 6 do not divide the devices of a stage."""
    with pytest.raises(RequestError) as error:
        serving_share(_mixture(6), layout)
    assert str(error.value) == f"4 devices cannot share an expert of it, which is cut into 6 pieces: {advice}"
