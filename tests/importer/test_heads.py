"""Classes that classify sequences or tokens, and classes of names of their own, against transformers 5.24.0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import is_refused, recorded, spec_of
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.core.ledger import Cache
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, SpecError
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("heads.jsonl") + recorded("classes.jsonl")
LLAMA = {"model_type": "llama", "num_hidden_layers": 2}


@pytest.mark.slow
def test_classifiers_are_counted_right_or_refused() -> None:
    """Parameters to the last digit, with three labels each."""
    known = [line for line in LINES if not is_refused(line["config"])]
    counted = [(params(lower(spec_of(line["config"]))).total, line["total"]) for line in known]
    assert [pair for pair in counted if pair[0] != pair[1]] == []
    assert len(known) >= 250


@pytest.mark.parametrize("ending", ["ForSequenceClassification", "ForTokenClassification"])
@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
def test_a_classifier_s_spec_can_be_written_and_read_back(family: str, ending: str) -> None:
    lines = (line["config"] for line in LINES if line["config"]["model_type"] == family)
    spec = spec_of(next(config for config in lines if config["architectures"][0].endswith(ending)))
    assert spec.head.classes == 3
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({}, 2),
        ({"num_labels": 5}, 5),
        ({"id2label": {"0": "reward"}}, 1),
        ({"id2label": {"0": "reward"}, "num_labels": 1}, 1),
    ],
)
def test_a_classifier_has_as_many_outputs_as_labels(labels: dict[str, Any], classes: int) -> None:
    spec = spec_of(LLAMA | {"architectures": ["LlamaForSequenceClassification"]} | labels)
    assert (spec.head.classes, spec.tied) == (classes, None)


DRAFT = (
    "which guesses tokens of another model in speculative decoding and is no model by itself: give the model that it guesses for, and to "
    "`serve` its guesses as --draft-tokens and --acceptance"
)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**LLAMA, "architectures": ["LlamaForSequenceClassification"], "num_labels": 5, "id2label": {"0": "a"}},
         "num_labels: 5 contradicts id2label, which has 1"),
        ({**LLAMA, "architectures": ["LlamaForSequenceClassification"], "id2label": []},
         "id2label must be a mapping of numbers to labels, not a list"),
        ({"model_type": "xlnet", "architectures": ["XLNetForSequenceClassification"], "summary_use_proj": False},
         "summary_use_proj: false is not known yet with a classifier"),
        ({"model_type": "xlnet", "architectures": ["XLNetForQuestionAnswering"]},
         "architectures: XLNetForQuestionAnswering is not known yet: its head is unlike those of other families"),
        ({"model_type": "bert", "architectures": ["BertForQuestionAnswering"], "num_labels": 3},
         "num_labels: 3 is not known yet for question answering: only 2 is"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"]},
         "architectures: LlamaForCausalLMEagle3 is of a draft head, " + DRAFT),
        ({"model_type": "qwen3", "architectures": ["DFlashDraftModel"], "auto_map": {"AutoModel": "dflash.DFlashDraftModel"}},
         "architectures: DFlashDraftModel is of a draft head, " + DRAFT),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "draft_vocab_size": 32000},
         "draft_vocab_size is of a draft head, " + DRAFT),
        ({"model_type": "medusa", "hidden_size": 64},
         "model_type medusa is of a draft head, " + DRAFT),
        ({"model_type": "llama", "architectures": ["MineForQuestions"]},
         'architectures: "MineForQuestions" is not known for llama: known: LlamaForCausalLM, LlamaModel'),
    ],
)  # fmt: skip
def test_what_is_refused_of_classes(config: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(config)
    assert str(caught.value) == f"config.json: {said}"


@pytest.mark.parametrize(
    ("family", "cls", "flops"),
    [
        ("llama", "LlamaForQuestionAnswering", 909210910720),
        ("bert", "BertForQuestionAnswering", 12071700480),
        ("t5", "T5EncoderModel", 2702622720),
        ("bart", "BartForCausalLM", 28586127360),
        ("marian", "MarianForCausalLM", 29709496320),
    ],
)
def test_classes_of_one_stack_and_of_two_numbers_do_what_pytorch_counts(family: str, cls: str, flops: int) -> None:
    """FlopCounterMode, 70 tokens: attention to an encoder that is not there is stored, and never run."""
    line = next(line for line in LINES if line["config"]["architectures"] == [cls])
    assert line["config"]["model_type"] == family
    ledger = lower(spec_of(line["config"]))
    assert forward_flops(ledger, SequenceLengths(70, source=70)).total == flops
    if cls == "BartForCausalLM":
        assert sum(isinstance(entry, Cache) for entry in ledger.entries) == 1


def test_a_class_that_reads_leftward_is_counted_as_its_encoder_and_says_so() -> None:
    spec = spec_of({"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True})
    assert spec.kind == "encoder"
    assert spec.notes[0].startswith(
        "architectures: BertLMHeadModel has the parameters of BertForMaskedLM, and is counted"
    )


def test_what_a_classifier_keeps_for_its_backward_pass_is_not_guessed() -> None:
    spec = spec_of(LLAMA | {"architectures": ["LlamaForSequenceClassification"]})
    with pytest.raises(RequestError, match="tscale does not know what a classifier on the last layer keeps"):
        lower(spec, saves=True)


def test_a_class_derived_from_a_known_one_is_counted_as_it_and_named() -> None:
    config = LLAMA | {"architectures": ["FooForCausalLM"]}
    assert (
        "architectures: FooForCausalLM is counted as LlamaForCausalLM, which has the same head."
        in spec_of(config).notes
    )
    assert params(lower(spec_of(config))).total == params(lower(spec_of(LLAMA))).total
    assert spec_of(LLAMA | {"architectures": ["FooModel"]}).head.kind == "none"
    with pytest.raises(SpecError, match='architectures: "FooForCausalLM" is not known for llama'):
        imported(config, name="x", where="config.json", strict=True)
