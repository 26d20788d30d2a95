"""Explicit stages, stages of an uneven interleaved schedule, and pipelines of models whose layers share weights."""

from __future__ import annotations

import pytest

import tscale
from tscale.blocks import SharedBlock
from tscale.core.costs.params import params, size
from tscale.core.ledger import Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.partition import one_layer
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.stages import kinds_of_layers, stages


def layers_of(stage: Ledger) -> int:
    """Layers of a stage, by the norms before their attention."""
    return sum(group.layers for group in stage.groups for entry in group.entries if entry.name == "attention.q")


LLAMA_405B = (7, *[8] * 14, 7)


def test_llama_405b_was_cut_as_its_report_says() -> None:
    """16 stages of 126 layers, one less in the first and in the last (Dubey 2024, section 3.3.2): by default, and as given."""
    spec = tscale.load("llama-3.1-405b")
    given = stages(spec, Parallelism(pipeline=16, stages=LLAMA_405B))
    assert tuple(map(layers_of, given)) == LLAMA_405B
    assert given == stages(spec, Parallelism(pipeline=16))


@pytest.mark.parametrize(
    ("sizes", "interleave", "layers"),
    [
        ((3, 5), 1, [[0, 1, 2], [3, 4, 5, 6, 7]]),
        ((0, 4, 4, 0), 1, [[], [0, 1, 2, 3], [4, 5, 6, 7], []]),
        ((1, 2, 3, 2), 2, [[0, 3, 4, 5], [1, 2, 6, 7]]),  # each piece
        ((5, 3), 2, [[0, 1, 2, 5, 6], [3, 4, 7]]),  # each stage, in pieces of 3 and 2, and of 2 and 1
    ],
)
def test_stages_that_are_given_have_their_layers(
    sizes: tuple[int, ...], interleave: int, layers: list[list[int]]
) -> None:
    """DeepSeek-V3 with eight layers, of which the first three are dense: told apart one by one."""
    spec = tscale.load("deepseek-v3", ["layers=8"])
    whole = lower(spec)
    plan = Parallelism(pipeline=len(layers), interleave=interleave, stages=sizes)
    plan.check()
    one_by_one = [one_layer(whole, "decoder", layer) for layer in range(8)]
    ends = params(whole).total - sum(params(layer).total for layer in one_by_one)
    found = [params(stage).total for stage in stages(spec, plan)]
    inner = [sum(params(one_by_one[layer]).total for layer in own) for own in layers]
    of_ends = [one - own for one, own in zip(found, inner, strict=True)]
    assert of_ends[1:-1] == [0] * (len(layers) - 2)
    assert of_ends[0] > 0
    assert of_ends[-1] > 0
    assert sum(of_ends) == ends
    for kinds, own in zip(kinds_of_layers(spec, whole, plan), layers, strict=True):
        assert {params(kind).total for kind in kinds} == {params(one_by_one[layer]).total for layer in own}


@pytest.mark.parametrize(
    ("name", "plan", "sizes"),
    [
        ("qwen3-235b-a22b", Parallelism(pipeline=4, interleave=12), [1, *[2] * 46, 1]),
        ("qwen3-235b-a22b", Parallelism(pipeline=8, interleave=3), [3, *[4] * 22, 3]),
        ("qwen3-30b-a3b", Parallelism(pipeline=2, interleave=24), [1] * 48),
        ("deepseek-v3", Parallelism(pipeline=4, interleave=4), [3, *[4] * 14, 2]),
    ],
)
def test_layouts_of_megatron_bridge(name: str, plan: Parallelism, sizes: list[int]) -> None:
    """Pieces in the order of the stack, embedding and head counted as a layer each: stage i has the i-th, the (i+p)-th, ..."""
    found = [layers_of_any(stage) for stage in stages(tscale.load(name), plan)]
    assert found == [sum(sizes[place :: plan.pipeline]) for place in range(plan.pipeline)]
    assert found == [layers_of_any(stage) for stage in stages(tscale.load(name), plan._replace(stages=tuple(sizes)))]


def layers_of_any(stage: Ledger) -> int:
    """Layers of a stage, by what their attention yields."""
    return sum(group.layers for group in stage.groups for entry in group.entries if entry.name == "attention.o")


def test_dualpipe_has_each_stage_twice() -> None:
    """DeepSeek-V3 on 16 ranks: the i-th stage and the i-th from the end, tables and head on both ends."""
    spec = tscale.load("deepseek-v3")
    once = [params(stage).total for stage in stages(spec, Parallelism(pipeline=16))]
    twice = [params(stage).total for stage in stages(spec, Parallelism(pipeline=16, schedule="dualpipe"))]
    assert twice == [one + other for one, other in zip(once, reversed(once), strict=True)]


def test_a_tied_table_is_there_once_where_both_ends_are() -> None:
    spec = tscale.load("gpt2")
    table = 50_257 * 768
    once = [params(stage).total for stage in stages(spec, Parallelism(pipeline=2))]
    both = [params(stage).total for stage in stages(spec, Parallelism(pipeline=2, schedule="dualpipe"))]
    assert both == [sum(once) - table] * 2


@pytest.mark.parametrize("pipeline", [2, 3, 6])
@pytest.mark.parametrize("name", ["zamba2-7b", "zamba2-1.2b", "zamba2-2.7b"])
def test_each_stage_has_the_shared_blocks_that_its_layers_call(name: str, pipeline: int) -> None:
    """Blocks take turns in the layers that have one: which are met, layer by layer."""
    spec = tscale.load(name)
    block = next(mixer for mixer in spec.mixers if isinstance(mixer, SharedBlock))
    whole = lower(spec)
    plan = Parallelism(pipeline=pipeline)
    place, met = 0, []
    for stage in stages(spec, plan):
        layers = sum(group.layers for group in stage.groups for entry in group.entries if entry.name == "hybrid.linear")
        met.append(len({(place + turn) % int(block.blocks) for turn in range(layers)}))
        place += layers
        queries = [entry for entry in stage.entries if isinstance(entry, Matmul) and entry.name == "hybrid.q"]
        assert sum(entry.stored for entry in queries) == met[-1]
    assert place == sum(
        group.layers for group in whole.groups for entry in group.entries if entry.name == "hybrid.linear"
    )


def test_each_stage_of_albert_has_the_one_layer() -> None:
    spec = tscale.load("albert-base-v2")
    whole = lower(spec)
    layer = next(entry for entry in whole.entries if entry.name == "attention.q")
    for stage in stages(spec, Parallelism(pipeline=4)):
        own = next(entry for entry in stage.entries if entry.name == "attention.q")
        assert isinstance(own, Matmul)
        assert isinstance(layer, Matmul)
        assert (own.stored, own.used, size(own)) == (1, layer.used // 4, size(layer))


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Parallelism(pipeline=4, stages=(31, 32, 32)), "--stages has 3 numbers for 4 stages: give it 4"),
        (Parallelism(pipeline=2, interleave=2, stages=(1, 1, 1)), "--stages has 3 numbers for 2 stages: give it 2 (or 4, one for each piece)"),
        (Parallelism(pipeline=3, stages=(4, 0, 4)), "give each other one 1 layer or more in --stages"),
        (Parallelism(pipeline=2, stages=(-1, 9)), "give each other one 1 layer or more in --stages"),
        (Parallelism(pipeline=2, interleave=4, stages=(3, 5)), "a stage of 3 layers has not 4 pieces: leave --stages out, or give each stage 4 layers or more"),
        (Parallelism(pipeline=1, schedule="zero-bubble"), "a zero-bubble schedule needs pipeline stages: set --pipeline"),
        (Parallelism(pipeline=2, schedule="interleaved"), "set --interleave to 2 or more"),
        (Parallelism(pipeline=2, interleave=2, schedule="1f1b"), "drop --interleave, or use --schedule interleaved"),
        (Parallelism(pipeline=5, schedule="dualpipe"), "use --pipeline 4 or 6"),
        (Parallelism(tensor=4, data=2, expert_tensor=3), "use --expert-tensor 1, 2, 4 or 8"),
        (Parallelism(tensor=4, data=2, expert_tensor=2, expert=8), "use 1, 2 or 4"),
    ],
)  # fmt: skip
def test_plans_that_contradict_themselves_are_refused(plan: Parallelism, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        plan.check()
    assert says in str(refused.value)


def test_stages_that_do_not_add_up_are_refused_with_some_that_do() -> None:
    spec = tscale.load("llama-3.1-405b")
    with pytest.raises(
        RequestError, match=r"--stages has 128 layers, and llama-3.1-405b has 126: .* such as (7(,8)+,7)$"
    ) as refused:
        stages(spec, Parallelism(pipeline=16, stages=(8,) * 16))
    advised = tuple(map(int, str(refused.value).rsplit(" ", 1)[1].split(",")))
    assert stages(spec, Parallelism(pipeline=16, stages=advised))
