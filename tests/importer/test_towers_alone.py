"""Towers that are models by themselves, against what transformers 5.24.0 counts on the meta device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.importer.recorded import recorded
from tscale.core.costs.media import tower_flops
from tscale.core.costs.params import params
from tscale.errors import SpecError
from tscale.importer.config_file import TOWERS_ALONE
from tscale.importer.towers.alone import KINDS, tower_spec
from tscale.models.tower_spec import TowerSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("towers_alone.jsonl")
SEEN = sorted(kind for kind, row in KINDS.items() if not row.sounds)
HEARD = sorted(set(KINDS) - set(SEEN))
ADAPTED = "add_adapter"


def of(config: dict[str, Any], *, strict: bool = False) -> TowerSpec:
    return tower_spec(config, name="it", where="config.json", strict=strict)


def lines_of(kind: str) -> Iterator[dict[str, Any]]:
    return (line for line in LINES if line["config"]["model_type"] == kind and line["changed"] != ADAPTED)


def flops_of(spec: TowerSpec) -> int:
    """FLOPs of one image, or of ten seconds of sound."""
    (tower,) = spec.towers
    assert tower.input is not None
    seen = tower.input.hear(10) if tower.input.kind == "sound" else tower.input.read(100, 100)
    return int(tower_flops(spec.name, [(tower.part, tuple(tower.groups()))], seen.passes).total)


def test_every_row_is_recorded_and_found() -> None:
    assert {line["config"]["model_type"] for line in LINES} == set(KINDS) == TOWERS_ALONE
    heads = {head for row in KINDS.values() for head in row.heads}
    assert {line["config"]["architectures"][0] for line in LINES} == heads


@pytest.mark.parametrize("kind", KINDS)
def test_each_change_of_a_field_is_counted_right(kind: str) -> None:
    wrong = [line["changed"] for line in lines_of(kind) if params(of(line["config"]).ledger()).total != line["total"]]
    assert not wrong


@pytest.mark.parametrize("kind", SEEN)
def test_an_image_takes_the_flops_that_the_framework_counts(kind: str) -> None:
    ran = [line for line in lines_of(kind) if line["flops"] is not None]
    assert len(ran) > 5
    assert [line["changed"] for line in ran if flops_of(of(line["config"])) != line["flops"]] == []


@pytest.mark.parametrize("kind", HEARD)
def test_a_sound_takes_the_flops_of_one_position_more_than_the_framework_makes(kind: str) -> None:
    """No part grows faster than the square of the positions, of which there is one fewer without padding."""
    ran = [line for line in lines_of(kind) if line["flops"] is not None and of(line["config"]).towers[0].input]
    assert len(ran) > 5
    for line in ran:
        ours, theirs, positions = flops_of(of(line["config"])), line["flops"], line["positions"]
        assert theirs <= ours <= theirs * (positions + 1) ** 2 / positions**2, line["changed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tower_is_written_and_read_as_it_is(kind: str) -> None:
    spec = of(next(lines_of(kind))["config"])
    assert validated(parse_document(to_yaml(spec), "it.yaml")) == spec


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "vit", "architectures": ["ViTForMaskedImageModeling"]},
            'architectures: "ViTForMaskedImageModeling" is not known for vit: only ViTModel and ViTForImageClassification',
        ),
        (
            {"model_type": "vit", "hidden_size": -1},
            "hidden_size must be a whole number from 1 to 10^12, not -1",
        ),
        (
            {"model_type": "vit", "patch_size": [0, 16]},
            "patch_size must be whole numbers from 1 to 10^12, not",
        ),
        (
            {"model_type": "vit", "num_attention_heads": 5},
            "towers.0.pieces.3.attention.heads: 5 heads do not divide d_model 768: set head_dim, or",
        ),
        (
            {"model_type": "vit", "intermediate_size": 10**13},
            "intermediate_size must be a whole number from 1 to 10^12, not 100",
        ),
        (
            {"model_type": "dinov2", "hidden_size": 10**12, "mlp_ratio": 9},
            "towers.pieces.feed_forward.d_ff: comes out as 9",
        ),
        ({"model_type": "wav2vec2", "add_adapter": True}, "add_adapter: adapters are not known yet"),
        (
            {"model_type": "hubert", "conv_stride": [5]},
            "conv_dim: conv_dim, conv_kernel and conv_stride must have one length",
        ),
        (
            {"model_type": "hubert", "feat_extract_norm": "batch"},
            "feat_extract_norm: only group and layer are known",
        ),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        of(config)
    assert str(error.value).startswith(f"config.json: {message}")


def test_a_key_that_the_class_lacks_is_named_or_refused() -> None:
    config = {"model_type": "dinov2", "layer_dropper": 2}
    assert of(config).notes == ("Not read by this family: layer_dropper.",)
    with pytest.raises(SpecError, match='key "layer_dropper" is not known for dinov2'):
        of(config, strict=True)
