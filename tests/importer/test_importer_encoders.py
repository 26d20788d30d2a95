"""Encoders and encoder-decoders of the importer's later tables, against transformers 5.23.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.importer.recorded import counted_wrong, families_in, is_refused, recorded, spec_of
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, params
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LENGTH = 70


VARIATIONS, CASES = recorded("variations_encoders.jsonl"), recorded("cases_encoders.jsonl")
COUNTED = [pytest.param(case, id=case["name"]) for case in CASES]
CACHING = [pytest.param(case, id=case["name"]) for case in CASES if case["kv_bytes_per_token"]]


def _variations(family: str) -> Iterator[dict[str, Any]]:
    return (line for line in VARIATIONS if line["config"]["model_type"] == family)


def _differences(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """What tscale and the framework count differently: parameters and FLOPs."""
    ledger = lower(spec)
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None:
        flops = forward_flops(ledger, run_of(spec, LENGTH)).total
        pairs["flops"] = (flops + _for_nothing(line["config"]), line["flops"])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


def _for_nothing(config: dict[str, Any]) -> int:
    """FLOPs of what the framework projects and does not use: the architecture does not need them.

    Where DeBERTa v2 shares its projections, each layer projects its 2·span distances to keys and to queries, whichever
    of the two `pos_att_type` asks for.
    """
    if config["model_type"] != "deberta-v2" or not (config.get("share_att_key") and config["relative_attention"]):
        return 0
    d, layers, span = config.get("hidden_size", 1536), config.get("num_hidden_layers", 24), config["position_buckets"]
    asked = config["pos_att_type"]
    unused = 2 - len(asked.split("|") if isinstance(asked, str) else asked)
    return int(2 * (2 * span) * d * d * layers * unused)


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    assert not counted_wrong(_variations(family), _differences)


@pytest.mark.parametrize("family", families_in(VARIATIONS))
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in _variations(family) if line["changed"] in usual]
    assert {"nothing", "nothing, saved"} <= {line["changed"] for line in lines}
    for line in lines:
        spec = spec_of(line["config"])
        assert not _differences(spec, line)
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_most_changes_are_counted() -> None:
    """A refusal is always right, so that it is rare is a promise of its own."""
    refused = sum(is_refused(line["config"]) for line in VARIATIONS if line["changed"] != "head_dim")
    assert 9 * refused < len(VARIATIONS)


# ---- published models ----


@pytest.mark.parametrize("case", COUNTED)
def test_published_models_are_counted_as_the_framework_does(case: dict[str, Any]) -> None:
    """Parameters, those that a token meets, and forward FLOPs at each recorded length."""
    spec = spec_of(case["config"])
    ledger = lower(spec)
    assert (params(ledger).total, active_params(ledger).total) == (case["params"]["total"], case["params"]["active"])
    flops = {length: forward_flops(ledger, run_of(spec, int(length))).total for length in case["flops"]}
    assert flops == case["flops"]


@pytest.mark.parametrize("case", CACHING)
def test_the_cache_grows_as_the_framework_s_does(case: dict[str, Any]) -> None:
    """With each token of the decoder, and with each position of the encoder, of which Whisper always has 1500."""
    spec, kept = spec_of(case["config"]), case["kv_bytes_per_token"]
    ledger = lower(spec)
    assert cache_bytes(ledger, SequenceLengths(1, 0), 16).total == kept["per_token"]
    read = spec.encoder.frames if spec.encoder is not None else None
    crossed = kept["constant"] if read else kept["cross_per_encoder_token"]
    assert cache_bytes(ledger, SequenceLengths(0, read or 1), 16).total == crossed


def test_whisper_s_sines_are_a_line_of_their_own() -> None:
    (case,) = (case for case in CASES if case["name"] == "whisper-tiny")
    lines = {line.name: line.value for line in params(lower(spec_of(case["config"]))).lines}
    assert lines["encoder.embedding.sines"] == case["params"]["frozen"] == 1500 * 384


def test_albert_s_layers_are_stored_once_and_run_through_by_all() -> None:
    """Three groups of two layers, six steps: six layers stored, twelve run through."""
    spec = spec_of({"model_type": "albert", "num_hidden_groups": 3, "inner_group_num": 2, "num_hidden_layers": 6})
    assert (spec.unique_layers, spec.layers) == (6, 12)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "albert", "num_hidden_groups": 13},
            "num_hidden_groups: 13 groups are more than num_hidden_layers, so some are never used",
        ),
        (
            {"model_type": "deberta", "relative_attention": True, "max_relative_positions": 64},
            "max_relative_positions: 64 is not known below max_position_embeddings, 512",
        ),
        (
            {"model_type": "deberta", "talking_head": True},
            "talking_head: true is not known yet for deberta: only false is",
        ),
        (
            {"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": "c2p|p2p"},
            'pos_att_type: "c2p|p2p" is not known: only c2p and p2c are',
        ),
        (
            {"model_type": "deberta-v2", "conv_kernel_size": 3},
            "conv_kernel_size and norm_rel_ebd are not known without relative_attention",
        ),
        (
            {"model_type": "deberta-v2", "relative_attention": True, "conv_kernel_size": 4},
            "conv_kernel_size must be odd, and conv_groups divide hidden_size",
        ),
        (
            {"model_type": "deberta-v2", "relative_attention": True, "norm_rel_ebd": "batch"},
            'norm_rel_ebd: "batch" is not known: none or layer_norm',
        ),
        (
            {"model_type": "deberta-v2", "attention_head_size": 32},
            "attention_head_size: 32 times 24 heads is not hidden_size 1536, as it must be",
        ),
        (
            {"model_type": "deberta-v2", "position_biased_input": False},
            "position_biased_input: false without relative_attention leaves no positions at all",
        ),
        ({"model_type": "xlnet", "d_head": 32}, "d_head: 32 contradicts d_model / n_head, which makes it 64"),
        ({"model_type": "xlnet", "bi_data": True}, "bi_data: true is not known yet for xlnet: only false is"),
        ({"model_type": "esm"}, 'no "vocab_size": esm needs it'),
        (
            {"model_type": "esm", "vocab_size": 33, "position_embedding_type": "relative_key"},
            'position_embedding_type: "relative_key" is not known: only absolute and rotary are',
        ),
        ({"model_type": "xlnet", "attn_type": "uni"}, 'attn_type: "uni" is not known yet for xlnet: only "bi" is'),
        (
            {"model_type": "fsmt", "src_vocab_size": 1000},
            "src_vocab_size (1000) and tgt_vocab_size (42024) differ: that is not known yet",
        ),
        (
            {"model_type": "camembert", "is_decoder": True},
            'key "is_decoder" (true) is not known for camembert, and may change what is counted',
        ),
        (
            {"model_type": "canine"},
            'model_type "canine" is not known yet: it reads characters, of which its layers make shorter sequences and long ones again '
            "(--assume FAMILY counts it as one of a known family all the same)",
        ),
        (
            {"model_type": "squeezebert", "q_groups": 8},
            "q_groups, k_groups and v_groups that differ are not known yet",
        ),
        (
            {"model_type": "mobilebert", "embedding_size": 512},
            "embedding_size must be below hidden_size: the table of the head holds the rest",
        ),
        (
            {"model_type": "longt5", "encoder_attention_type": "global"},
            'encoder_attention_type: "global" is not known: local or transient-global',
        ),
        (
            {"model_type": "t5gemma", "encoder": {"hidden_size": 64}, "decoder": {"hidden_size": 128}},
            "encoder_hidden_size: 64 contradicts hidden_size, which makes it 128",
        ),
        (
            {"model_type": "xlm", "architectures": ["XLMForSequenceClassification"], "summary_proj_to_labels": False},
            "summary_proj_to_labels: false is not known yet with a classifier",
        ),
        (
            {"model_type": "funnel"},
            'model_type "funnel" is not known yet: its layers pool a sequence to shorter ones (--assume FAMILY counts it as one of a known family all the same)',
        ),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_of(config)
    assert str(error.value) == f"config.json: {message}"
