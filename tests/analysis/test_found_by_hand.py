"""Models as they are given: by a name, as a mapping like a file's, as a spec; of a family that the caller describes."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.analysis.found import hardware_of, spec_of, specs_of
from tscale.core.costs.params import params
from tscale.errors import RequestError, TscaleError
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

FAMILY = {
    "name": "mine",
    "like": "llama",
    "classes": {"MineForCausalLM": {"kind": "language-model"}},
    "reads": {},
}
CONFIG = {
    "model_type": "mine", "architectures": ["MineForCausalLM"], "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 3,
    "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 32, "max_position_embeddings": 64, "tie_word_embeddings": False,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "attention_bias": False, "mlp_bias": False,
}  # fmt: skip
WRITTEN = {
    "name": "x", "title": "X", "layers": 12, "d_model": 8, "vocabulary": 32, "context": 16, "attention": {"heads": 2}, "feed_forward": {"d_ff": 16},
    "positions": {"kind": "learned"}, "norm": {"kind": "layernorm"}, "tied": True,
}  # fmt: skip
"""A model in our own keys."""


def test_a_family_that_is_given_is_known_while_its_model_is_read() -> None:
    """A table and a head of 32 by 8, and of each of 3 layers four products of 8 by 8 and 4, three of 8 by 16, and two gains."""
    for found in (spec_of(CONFIG, families=FAMILY), *specs_of((CONFIG, "gpt2"), (), None, families=FAMILY)[:1]):
        assert isinstance(found, ModelSpec)
        layer = 2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16 + 2 * 8
        assert params(lower(found)).total == 2 * 32 * 8 + 3 * layer + 8
    for ask in (lambda: spec_of(CONFIG), lambda: specs_of((CONFIG, "gpt2"), (), None)):
        with pytest.raises(TscaleError, match="mine"):
            ask()


def test_changes_are_made_however_a_model_is_given() -> None:
    for model in ("gpt2", spec_of("gpt2"), WRITTEN):
        found: Any = spec_of(model)
        assert found.layers == 12
        changed: Any = spec_of(model, ("layers=5",))
        assert changed.layers == 5


def test_what_is_no_model_and_no_hardware_is_refused() -> None:
    spec, chip = spec_of("gpt2"), hardware_of("h100")
    assert hardware_of(chip) is chip
    for ask, said in (
        (lambda: spec_of(3), "model must be a name, a path, a mapping or a ModelSpec, such as gpt3, not 3"),
        (lambda: spec_of(spec, (), "llama"), "is about a config.json: give its file as the model, or drop it"),
        (lambda: spec_of(WRITTEN, (), "llama"), "is about a config.json: drop it"),
        (lambda: hardware_of(3), "gpu must be a name, a path, a mapping or Hardware, such as h100, not 3"),
        (lambda: hardware_of(chip, ("memory_gb=1",)), "changes hardware that is named: give its name, or a mapping"),
    ):
        with pytest.raises(RequestError, match=said):
            ask()
