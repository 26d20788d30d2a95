"""Families with parts of their own next to attention, tables and heads, against transformers 5.24.0 on the meta device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.importer.recorded import Differences, counted_wrong, families_in, is_refused, recorded, spec_of
from tscale.blocks import attentions
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.errors import RequestError, SpecError
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LENGTH, SHORT, LONG = 70, 63, 127
VARIATIONS = recorded("variations_further.jsonl")


def _unpublished(config: dict[str, Any]) -> int:
    """What transformers builds for experts of LongCat-Flash that compute nothing, and published files do not have."""
    idle, layers = config.get("zero_expert_num", 256), config.get("num_layers", 28)
    size: int = layers * idle * 2 * config.get("expert_ffn_hidden_size", 2048) * config.get("hidden_size", 6144)
    return size


def _differences(spec: ModelSpec, line: dict[str, Any]) -> Differences:
    """What tscale and the framework count differently: parameters, FLOPs, and numbers in the cache at two lengths."""
    ledger, longcat = lower(spec), line["config"]["model_type"] == "longcat_flash"
    own = _unpublished(line["config"]) if longcat else 0
    pairs = {"total": (params(ledger).total, line["total"] - own)}
    if line["flops"] is not None and not _scores_all_words(line):
        pairs["flops"] = (forward_flops(ledger, run_of(spec, LENGTH)).total, line["flops"])
    if line["active"] is not None and not longcat:
        pairs["active"] = (active_params(ledger).total, line["active"])
    for length, name in ((SHORT, "short"), (LONG, "long")):
        if line["cache"] is not None and not longcat and not _slides(spec):  # its cache need not hold keys and values
            pairs[name] = (cache_bytes(ledger, run_of(spec, length), 16).total // 2, line["cache"][name])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


def _scores_all_words(line: dict[str, Any]) -> bool:
    """Whether the class scores every word and takes the last one's score: tscale counts that alone."""
    return bool(line["config"]["architectures"] == ["DogeForSequenceClassification"])


def _slides(spec: ModelSpec) -> bool:
    """Whether a window is short enough to be full: transformers then keeps one position less (see README.md of the records)."""
    return any(0 < (getattr(mixer, "window", None) or 0) <= LONG for mixer in attentions(spec.mixers))


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    assert len(lines) > 20 or family == "layoutlmv3"  # whose record is of each class on its defaults
    assert not counted_wrong(lines, _differences)


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_written(family: str) -> None:
    lines = [line for line in VARIATIONS if line["config"]["model_type"] == family]
    for line in lines:
        if line["changed"] in ("nothing", "nothing, saved", "architectures"):
            spec = spec_of(line["config"])
            assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_few_changes_are_refused() -> None:
    refused = [line["changed"] for line in VARIATIONS if is_refused(line["config"])]
    assert len(refused) < len(VARIATIONS) / 10


def test_longcat_flash_is_as_large_as_published() -> None:
    """560B parameters, of which a token runs through 18.6B to 31.3B without the embedding (Meituan 2025, abstract)."""
    ledger = lower(spec_of({"model_type": "longcat_flash"}))
    assert params(ledger).total == 741_053_585_408 - 28 * 256 * 2 * 2048 * 6144
    assert params(ledger).total == 560_664_958_976
    assert round((active_params(ledger).total - 131_072 * 6144) / 1e9, 1) == 31.4


def test_beam_is_as_large_as_its_name_says() -> None:
    """Beam-1.0-501B-A23B: 501B parameters, of which 23B are active."""
    beam = lower(spec_of({"model_type": "beam"}))
    assert [round(int(n) / 1e9) for n in (params(beam).total, active_params(beam).total)] == [501, 23]


def test_mimo_is_as_large_as_published_with_its_layer_that_predicts_further_tokens() -> None:
    """MiMo-7B-Base has 7,833,409,536 numbers: those that are counted, one more layer, a matrix of 2 x 4,096 to 4,096 and three norms."""
    d, d_ff, kv = 4096, 11008, 8 * 128
    sizes = {
        "hidden_size": d,
        "num_hidden_layers": 36,
        "intermediate_size": d_ff,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    spec = spec_of(
        {"model_type": "mimo", "vocab_size": 151680, "num_nextn_predict_layers": 1, "attention_bias": True, **sizes}
    )
    layer = 2 * d * d + d + 2 * (d * kv + kv) + 3 * d * d_ff + 2 * d
    assert params(lower(spec)).total + layer + 2 * d * d + 3 * d == 7_833_409_536
    note = "Left out: the layers that predict further tokens (num_nextn_predict_layers); --set mtp=1 counts them as further last layers."
    assert note in spec.notes
    assert params(lower(replace(spec, mtp=1))).total == 7_833_409_536


def test_step_3_5_is_as_large_as_published() -> None:
    """Step-3.5-Flash: 196B parameters, of which 11B are active (StepFun 2026); its own code calls the class so."""
    ledger = lower(spec_of({"model_type": "step3p5", "architectures": ["Step3p5ForCausalLM"]}))
    assert [round(int(n) / 1e9) for n in (params(ledger).total, active_params(ledger).total)] == [196, 11]


def test_the_family_of_a_class_is_named_where_a_file_says_none_or_another() -> None:
    with pytest.raises(SpecError, match=r'no "model_type": add it, .* \(Qwen3ForCausalLM is of qwen3\)'):
        spec_of({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 64})
    notes = spec_of({"model_type": "qwen2", "architectures": ["Qwen3ForCausalLM"]}).notes
    assert "Qwen3ForCausalLM is a class of qwen3. It is counted as Qwen2ForCausalLM, as model_type says" in notes[0]


@pytest.mark.parametrize("kind", ["xmod", "roc_bert", "longcat_flash", "doge"])
def test_what_such_parts_keep_for_a_backward_pass_is_not_guessed(kind: str) -> None:
    with pytest.raises(RequestError, match="tscale does not know what"):
        lower(spec_of({"model_type": kind}), saves=True)


def test_one_of_several_adapters_is_run_and_all_are_stored() -> None:
    config = {"model_type": "xmod", "languages": ["en_XX"]}
    one, three = lower(spec_of(config)), lower(spec_of(config | {"languages": ["en_XX", "de_DE", "fr_FR"]}))
    adapter = 12 * (768 * 384 + 384 + 384 * 768 + 768)
    assert params(three).total - params(one).total == 2 * adapter
    spec = spec_of(config)
    assert forward_flops(one, run_of(spec, LENGTH)).total == forward_flops(three, run_of(spec, LENGTH)).total
