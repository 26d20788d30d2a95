"""The kinds of layer of a stack: those that a walk through all of its layers meets, and together the whole model."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

import tscale
from tests.helpers import disclosed, has_stages, run
from tscale.blocks import Mixer, Mlp
from tscale.blocks.fields import On
from tscale.core.ledger import ALWAYS, Matmul
from tscale.core.plan import Plan, divisors
from tscale.core.questions.activations import Passes, activation_bytes
from tscale.core.questions.params import size
from tscale.core.questions.weights import is_linear
from tscale.core.run import Run
from tscale.spec.kinds import Standing, kinds_of_stages, of_one_layer
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec
from tscale.spec.saves import saves

RUN = Run(target=64, source=64)


def layers_of(on: On, layers: int) -> set[int]:
    """The layers that a block claims, counted out."""
    if on.first is not None:
        return set(range(min(on.first, layers)))
    if on.after is not None:
        return set(range(on.after, layers))
    if on.every is not None:
        return set(range(on.at, layers, on.every))
    return set(on.layers or ())


def walked(spec: ModelSpec) -> list[Standing]:
    """For each layer which of the mixers stand in it, and which of the feed-forwards."""
    found = []
    for layer in range(spec.layers):
        signature = []
        for blocks in (spec.mixers, spec.feed_forwards):
            claims = [block.on is not None and layer in layers_of(block.on, spec.layers) for block in blocks]
            rest = not any(claims)
            signature.append(tuple(c or (rest and block.on is None) for block, c in zip(blocks, claims, strict=True)))
        found.append((signature[0], signature[1]))
    return found


def standing_in(kind: ModelSpec) -> Standing:
    """Which blocks stand in the layer of a model of one."""

    def stands(block: Mixer | Mlp) -> bool:
        return block.on is None or block.on.layers == (0,)

    return tuple(map(stands, kind.mixers)), tuple(map(stands, kind.feed_forwards))


def kept_inside(spec: ModelSpec) -> int:
    inside = [saved for saved in saves(spec) if saved.part not in ("embedding", "head") and saved.keeping != ALWAYS]
    return activation_bytes(inside, RUN, Passes(2, "naive", 2, dropout=True)).total


def matrices(spec: ModelSpec) -> int:
    return sum(
        entry.stored * size(entry)
        for entry in lower(spec).entries
        if isinstance(entry, Matmul) and is_linear(entry) and entry.name != "convolution"
    )


ONE_STACK = [name for name in disclosed() if tscale.load(name).kind != "encoder-decoder"]


@pytest.mark.parametrize("name", ONE_STACK)
def test_kinds_are_those_of_a_walk_and_add_up_to_the_model(name: str) -> None:
    """What each layer keeps and owns, layer after layer, is what all of them do."""
    spec = tscale.load(name)
    spec = replace(spec, norm=replace(spec.norm, skips_first=False))
    kinds = {kind: of_one_layer(spec, kind) for kind in kinds_of_stages(spec, Plan())[0]}
    walk = Counter(walked(spec))
    assert kinds.keys() == walk.keys() == {standing_in(kind) for kind in kinds.values()}
    assert sum(many * kept_inside(kinds[kind]) for kind, many in walk.items()) == kept_inside(spec)
    if has_stages(spec):  # layers that share weights own them once
        assert sum(many * matrices(kinds[kind]) for kind, many in walk.items()) == matrices(spec)


@pytest.mark.parametrize("name", ["jamba", "recurrentgemma-2b", "qwen3-next-80b-a3b", "llama-4-maverick"])
def test_a_stage_has_the_kinds_of_its_own_layers(name: str) -> None:
    spec = tscale.load(name)
    walk = walked(spec)
    for pipeline in divisors(spec.layers):
        each = spec.layers // pipeline
        for stage, kinds in enumerate(kinds_of_stages(spec, Plan(pipeline=pipeline))):
            assert set(kinds) == set(walk[stage * each : (stage + 1) * each])


def test_names_of_derivations_mean_one_number() -> None:
    """Two blocks of several head widths, and an encoder with other heads than its decoder."""
    for args in (
        ("params", "whisper-tiny", "--set", "encoder.attention.heads=8", "--explain"),
        ("attention", "t5-small", "--set", "encoder.attention.heads=4", "--explain"),
        ("memory", "bart-large", "--train", "--set", "encoder={attention: {heads: 8}}", "--explain"),
    ):
        told = run(*args)
        assert told.code == 0, told.err
        assert "head_dim" in told.out
