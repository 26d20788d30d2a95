"""Whether every family that can be read from a config.json says what it keeps for its backward pass, or is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.helpers import of_each, saves
from tscale.errors import RequestError
from tscale.importer.families import FAMILIES
from tscale.importer.reader import imported

ORACLE = Path(__file__).parents[1] / "oracle"
CONFIGS: dict[str, dict[str, Any]] = {}
for path in [*sorted(ORACLE.glob("variations*.jsonl")), ORACLE / "remote.jsonl"]:
    for line in path.read_text("utf-8").splitlines():
        config = json.loads(line)["config"] if '"nothing"' in line else None
        if config is not None:
            CONFIGS.setdefault(config["model_type"], config)
UNRECORDED = ("deepseek", "internlm", "mimo", "phi-msft", "Yi")
"""Families whose code was not at hand: rows like those of others."""
WITHIN = ("blip_text_model", "ernie4_5_vl_moe_text", "layoutlmv3")
"""Families that were recorded within a whole, or on their defaults alone."""
CONFIGS |= {family: {"model_type": family} for family in (*UNRECORDED, *WITHIN)}
"""The plainest configuration of each family."""

INDEXER = "attention's indexer of keys, which a loss of its own trains,"
HEADS = "attention with gates, sinks, scales of positions or a borrowed latent"
OTHER_PARTS = "attention with sums of blocks, filters over its values or projections in groups of channels,"
REFUSED: dict[str, str] = {
    "deepseek_v32": INDEXER,
    "glm_moe_dsa": INDEXER,
    "minimax_m3_vl_text": "attention's indexer of keys",
    "mllama_text_model": "image_layer, which attends to images,",
    "deepseek_v4": "attention's compressed keys",
    **dict.fromkeys(("hy_v4", "hy_v4_vl_text"), HEADS),
    "mistral_large4_text": HEADS,
    "bailing_hybrid": HEADS,
    "glm5_next_text": INDEXER,
    **dict.fromkeys(("muse_spark_text", "dory"), "mixer, a layer with parts of its own,"),
    **dict.fromkeys(("hrm_text", "zaya"), "an embedding with parts of its own"),
    "axk2": "attention with a window, gates or norms of its own",
    "qwen4_exp_text": "attention's indexer of keys",
    "dots3_note_text": HEADS,
    "gemma3n_text": "a model with 4 residual streams",
    **dict.fromkeys(("prophetnet", "xlm-prophetnet"), "a model with 3 residual streams"),
    "longformer": "attention with projections of its own for tokens that see all others",
    "mobilebert": "bottleneck, a layer with a bottleneck,",
    "squeezebert": OTHER_PARTS,
    "nystromformer": OTHER_PARTS,
    "led": "attention with projections of its own for tokens that see all others",
    **dict.fromkeys(("xmod", "fnet", "convbert"), "mixer, a layer with parts of its own,"),
    **dict.fromkeys(("luke", "roc_bert", "lilt", "markuplm", "layoutlmv3"), "an embedding with parts of its own"),
    "doge": "mixer, a layer with parts of its own,",
    "ultrabert": "a head with parts of its own",
    "blip_text_model": "mixer, a layer with parts of its own,",
    "ernie4_5_vl_moe_text": "experts, with experts for images next to those for words,",
    "longcat_flash": "experts, whose router chooses among experts that compute nothing too,",
}
"""Families that are refused, and what of them."""


def refusal(config: dict[str, Any]) -> str | None:
    """What of a model is not known, or None where all is."""
    spec = imported(config, name="it", where="it")
    try:
        return None if saves(spec) else "all of it"
    except RequestError as error:
        message = str(error)
    told = re.fullmatch(r"tscale does not know what (.+) keeps? for the backward pass: leave out --train", message)
    assert told, message
    return told[1]


def test_every_family_is_here() -> None:
    assert set(CONFIGS) == set(FAMILIES)


@of_each(CONFIGS)
def test_a_family_says_what_it_keeps_or_is_refused_by_name(family: str) -> None:
    assert refusal(CONFIGS[family]) == REFUSED.get(family)
