"""Further encoders, encoder-decoders and whole models, against transformers 5.24.0 on the meta device."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import counted_wrong, families_in, is_refused, recorded, spec_of
from tests.importer.test_importer_encoders import LENGTH, _differences
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.errors import SpecError
from tscale.importer.families import NESTED
from tscale.importer.towers import FAMILIES as WITH_TOWERS
from tscale.importer.whole_files import thinker
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

VARIATIONS, INSIDE = recorded("variations_encoders_2026.jsonl"), recorded("nested_2026.jsonl")


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    assert len(lines) > 20
    assert not counted_wrong(lines, _differences)


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_written(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    for line in lines:
        if line["changed"] in ("nothing", "nothing, saved", "architectures"):
            spec = spec_of(line["config"])
            assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def _text_is_counted_otherwise(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    ledger = lower(spec)
    pairs = {"total": (int(params(ledger).total), line["total"])}
    if line["flops"] is not None:
        pairs["flops"] = (int(forward_flops(ledger, run_of(spec, LENGTH)).total), line["flops"])
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("family", families_in(INSIDE))
def test_the_text_model_inside_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in INSIDE if line["config"]["model_type"] == family]
    assert len(lines) > 9
    assert not counted_wrong(lines, _text_is_counted_otherwise)
    read = [line["config"] for line in lines if not is_refused(line["config"])]
    assert len(read) > 4
    for spec in map(spec_of, read):
        assert bool(spec.towers) == (family in WITH_TOWERS)
        assert (NESTED[family].said in spec.notes) == (family not in WITH_TOWERS)


def test_of_a_model_that_speaks_the_thinker_is_read_and_the_rest_is_said_to_be_left_out() -> None:
    line = next(line for line in INSIDE if line["config"]["model_type"] == "qwen2_5_omni_thinker")
    inner = {key: value for key, value in line["config"].items() if key != "architectures"}
    whole = {"model_type": "qwen2_5_omni", "architectures": ["Qwen2_5OmniModel"], "thinker_config": inner,
             "talker_config": {"hidden_size": 896}, "token2wav_config": {}}  # fmt: skip
    read, alone = spec_of(whole), spec_of(line["config"])
    assert params(lower(read).whole).total == params(lower(alone).whole).total
    assert read.notes[0].startswith("Left out: what speaks (talker_config, token2wav_config)")


def test_a_file_without_a_thinker_is_left_as_it_is() -> None:
    assert thinker({"model_type": "qwen2_5_omni", "thinker_config": None}) == (
        {"model_type": "qwen2_5_omni", "thinker_config": None}, ()
    )  # fmt: skip
    with pytest.raises(SpecError, match='model_type "qwen2_5_omni" is not known'):
        spec_of({"model_type": "qwen2_5_omni"})


@pytest.mark.parametrize("depth, full", [(4, {3}), (6, {1, 5}), (7, {2, 6})])
def test_layers_of_muse_glimmer_that_see_all_are_counted_from_the_last(depth: int, full: set[int]) -> None:
    """As `MuseGlimmerTextConfig` of transformers 5.24.0 lists them where a file does not."""
    kinds = ["full_attention" if layer in full else "sliding_attention" for layer in range(depth)]
    config = {"model_type": "muse_glimmer_text", "num_hidden_layers": depth}
    assert spec_of(config) == spec_of({**config, "layer_types": kinds})
    assert spec_of(config) != spec_of({**config, "layer_types": kinds[1:] + kinds[:1]})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "tapas", "type_vocab_sizes": [3, 0]}, "type_vocab_sizes must be a list of whole numbers above 0"),
        ({"model_type": "yoso", "use_expectation": False}, "use_expectation: false is not known yet for yoso: only true is"),
        ({"model_type": "led", "attention_window": [64, 128]},
         "attention_window must be one even length above 0: windows that differ by layer are not known yet"),
        ({"model_type": "bigbird_pegasus", "architectures": ["BigBirdPegasusForCausalLM"]},
         "architectures: BigBirdPegasusForCausalLM is not known yet: its head is unlike those of other families"),
        ({"model_type": "xlm", "asm": True}, "asm: true is not known yet for xlm: only false is"),
    ],
)  # fmt: skip
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_of(config)
    assert str(error.value) == f"config.json: {message}"


def test_led_reads_with_a_table_of_its_own() -> None:
    """LED-base has 16,384 positions for what it reads and 1,024 for what it writes, each 768 wide (Beltagy 2020)."""
    lines = {line.name: line.value for line in params(lower(spec_of({"model_type": "led", "d_model": 768}))).lines}
    assert lines["encoder.embedding.positions"] == 16384 * 768
    assert lines["decoder.embedding.positions"] == 1024 * 768
