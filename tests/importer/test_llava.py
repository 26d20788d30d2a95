"""Files of LLaVA's own code, against its classes: parameters, tensors and tokens of images, as `record_llava.py` ran them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers import run
from tests.importer.recorded import recorded, spec_of
from tscale.checkpoint.matching import compared
from tscale.checkpoint.tensors import Tensor
from tscale.core.costs.params import params
from tscale.errors import SpecError
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = {line["name"]: line for line in recorded("llava.jsonl")}
V15 = LINES["llava-v1.5-7b"]["config"]


def _total(spec: ModelSpec) -> int:
    return int(params(lower(spec).whole).total)


@pytest.mark.parametrize("name", LINES)
def test_the_whole_is_counted_as_its_class_has_it(name: str) -> None:
    spec = spec_of(LINES[name]["config"])
    assert _total(spec) == LINES[name]["total"]
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_it_has_the_parts_of_the_files_that_transformers_made_of_it() -> None:
    """llava-hf/llava-1.5-7b-hf has 7,063,427,072 parameters: the same, and 64 more rows in both tables of words."""
    assert _total(spec_of(V15)) == 7_063_427_072 - 2 * 64 * 4096
    assert _total(spec_of(V15 | {"vocab_size": 32064})) == 7_063_427_072


@pytest.mark.parametrize("name", LINES)
def test_an_image_takes_as_many_tokens_as_its_code_makes_of_it(name: str) -> None:
    towers = spec_of(LINES[name]["config"]).towers
    assert towers
    reading: Any = towers[0].input
    counted = [[high, wide, reading.read(high, wide).tokens] for high, wide, _ in LINES[name]["tokens"]]
    assert counted == LINES[name]["tokens"]


@pytest.mark.parametrize("name", LINES)
def test_what_its_class_saves_agrees(name: str) -> None:
    line = LINES[name]
    tensors = [
        Tensor(tensor.replace("#", str(place), 1), "BF16", tuple(shape), 0)
        for tensor, shape, count in line["shapes"]
        for place in range(count)
    ]
    result = compared(lower(spec_of(line["config"])), tensors)
    assert result.agrees, ([piece.name for piece in result.pieces if piece.missing], result.unexpected)


def test_the_tower_is_said_to_be_counted_by_its_name() -> None:
    notes = spec_of(V15 | {"mm_vision_tower": "./checkpoints/clip-vit-large-patch14-336"}).notes
    assert notes[0] == "Read as a file of LLaVA's own code."
    assert "openai/clip-vit-large-patch14-336" in notes[1]
    assert "./checkpoints/clip-vit-large-patch14-336" in notes[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"mm_vision_tower": "BAAI/EVA-CLIP-8B"},
            r"mm_vision_tower: the sizes of .* are not in the file.*set model_type to llama",
        ),
        ({"mm_vision_tower": None}, "mm_vision_tower must be the name of a vision tower, not null"),
        ({"mm_projector_type": "ldpnet"}, "mm_projector_type: .* only linear, identity, mlp2x_gelu and the like"),
        ({"mm_hidden_size": 4096}, "mm_hidden_size: 4,?096 is not 1,024, which the tower yields"),
        ({"mm_resampler_type": "qformer"}, "mm_resampler_type: .* only null or false is"),
        ({"s2": True}, "s2: .* only null or false is"),
        ({"mm_vision_select_layer": None}, "mm_vision_select_layer must be a whole number"),
        ({"mm_num_queries": 8}, 'key "mm_num_queries" .* may change what is counted'),
        ({"architectures": ["LlavaMptForCausalLM"]}, "architectures: .* is not known for llava"),
        ({"model_type": "llava_qwen"}, "architectures .* and model_type .* differ"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers must be a whole number"),
    ],
)
def test_what_is_not_known_of_it_is_refused_with_the_reason(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        spec_of(V15 | change)


def test_a_side_is_cut_as_its_code_cuts_it() -> None:
    """94 by 423 pixels in 27 by 54 patches of 384 by 768: 94 * (54 / 423) is 11.999999999999998, of which int() makes 11, and (27 - 11) // 2
    patches of padding above and below leave 11 rows; rounded to 12, as transformers does, 13."""
    towers = spec_of(LINES["llava-next-interleave-qwen-0.5b"]["config"]).towers
    assert towers
    reading: Any = towers[0].input
    assert reading.read(94, 423).tokens == 729 + 11 * (54 + 1)


def test_images_that_a_file_makes_another_way_are_not_counted() -> None:
    for change in ({"image_aspect_ratio": "highres"}, {"image_aspect_ratio": "anyres"}):
        towers = spec_of(V15 | change).towers
        assert towers
        assert towers[0].input is None


def test_without_a_text_model_of_its_own_a_file_of_transformers_stays_one() -> None:
    """Its own `llava` has the sizes inside of `text_config`, and no `mm_vision_tower`."""
    line = next(line for line in recorded("towers.jsonl") if line["config"]["model_type"] == "llava")
    assert not any("LLaVA" in note for note in spec_of(line["config"]).notes)


def test_its_images_run_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(V15), encoding="utf-8")
    result = run("flops", str(path), "--context", "4k", "--images", "2", "--tokens", "1T")
    assert result.code == 0
    assert "1,152" in result.out
