"""Groups of experts under every name that files give them, whole models without a head, and files like published ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import Line, recorded, spec_of
from tscale.blocks import Experts
from tscale.core.costs.params import params
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

SIZES = {
    "hidden_size": 256, "vocab_size": 500, "intermediate_size": 512, "moe_intermediate_size": 64,
    "n_routed_experts": 16, "num_experts_per_tok": 2, "num_hidden_layers": 4,
}  # fmt: skip
NEMOTRON = {
    "model_type": "nemotron_h", "hidden_size": 256, "vocab_size": 500, "layers_block_type": ["moe", "attention"],
    "num_hidden_layers": 2, "n_routed_experts": 16, "num_experts_per_tok": 2,
}  # fmt: skip
BAILING = {
    "model_type": "bailing_hybrid", "hidden_size": 256, "vocab_size": 500, "num_experts": 16,
    "num_experts_per_tok": 2, "num_hidden_layers": 6,
}  # fmt: skip
DEEPSEEK = {
    "dim": 256, "inter_dim": 512, "moe_inter_dim": 64, "n_layers": 4, "n_heads": 4, "kv_lora_rank": 32, "vocab_size": 500,
    "n_routed_experts": 16, "n_activated_experts": 2, "score_func": "sigmoid", "n_expert_groups": 4, "n_limited_groups": 2,
}  # fmt: skip
MISTRAL = {
    "dim": 256, "n_layers": 4, "n_heads": 4, "n_kv_heads": 4, "hidden_dim": 512, "vocab_size": 500, "head_dim": 64, "q_lora_rank": 64,
    "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32,
    "moe": {
        "num_experts": 16, "num_experts_per_tok": 2, "num_shared_experts": 1, "expert_hidden_dim": 64,
        "first_k_dense_replace": 1, "num_expert_groups": 4, "num_expert_groups_per_tok": 2,
    },
}  # fmt: skip


def _groups(spec: ModelSpec) -> list[tuple[int | None, int | None]]:
    return [(one.groups, one.top_groups) for one in spec.feed_forwards if isinstance(one, Experts)]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "deepseek_v3", **SIZES, "n_group": 4, "topk_group": 2},
        {"model_type": "glm4_moe", **SIZES, "head_dim": 64, "n_group": 4, "topk_group": 2},
        {**BAILING, "num_expert_group": 4, "topk_group": 2},
        {**BAILING, "n_group": 4, "topk_group": 2},
        {**NEMOTRON, "n_group": 4, "topk_group": 2},
        DEEPSEEK,
        MISTRAL,
    ],
)
def test_groups_of_experts_are_read_by_all_their_names(config: dict[str, Any]) -> None:
    assert _groups(spec_of(config)) == [(4, 2)]


def test_a_whole_without_a_head_is_what_is_left_of_it() -> None:
    """By the head's own matrix, which is not tied here: 32,064 words of 4,096 channels."""
    file = {
        "model_type": "llava",
        "text_config": {"model_type": "llama", "vocab_size": 32064},
        "tie_word_embeddings": False,
    }
    whole, base = (
        imported({**file, "architectures": [name]}, name="x", where="config.json")
        for name in ("LlavaForConditionalGeneration", "LlavaModel")
    )
    assert base.towers == whole.towers
    assert params(lower(whole).whole).total - params(lower(base).whole).total == 32_064 * 4_096


def test_projections_in_groups_are_block_diagonal() -> None:
    """SqueezeBERT: of q, k and v a quarter of the products of whole matrices, biases as they were."""
    whole, grouped = (
        spec_of({"model_type": "squeezebert", **dict.fromkeys(("q_groups", "k_groups", "v_groups"), groups)})
        for groups in (1, 4)
    )
    difference = params(lower(whole)).total - params(lower(grouped)).total
    assert difference == 12 * 3 * (768 * 768 - 4 * 192 * 192)


PUBLISHED = recorded("published_kinds.jsonl")


@pytest.mark.parametrize(
    "line", PUBLISHED, ids=[f"{at}-{line['config']['model_type']}" for at, line in enumerate(PUBLISHED)]
)
def test_files_like_published_ones_have_what_the_framework_counts(line: Line) -> None:
    """Keys that repeat or decide nothing, text models of other makers, a projection of one class of two."""
    assert params(lower(spec_of(line["config"])).whole).total == line["total"]
