"""Claims are held to figures that are not the claimant's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run


def verdict(tmp_path: Path, claim: str) -> dict[str, Any]:
    file = tmp_path / "claims.yaml"
    file.write_text(f"title: test\nclaims:\n  - {{{claim}}}\n", encoding="utf-8")
    done = run("check", str(file), "--format", "json")
    found: dict[str, Any] = json.loads(done.out)["claims"][0]
    assert done.code == (3 if found["verdict"] == "does not hold" else 0)
    return found


@pytest.mark.parametrize(
    "claim, expected",
    [
        ("subject: gpt3, quantity: layers, claimed: 96", "holds"),
        ("subject: gpt3, quantity: layers, claimed: 97", "close"),
        ("subject: gpt3, quantity: layers, claimed: 40", "does not hold"),
        ("subject: gpt3, quantity: params, claimed: 175e9", "holds"),
        ("subject: gpt3, quantity: params, claimed: 170e9", "close"),
        ("subject: gpt3, quantity: params, claimed: 170e9, tolerance: 0.05", "holds"),
        ("subject: gpt3, quantity: params, claimed: 100e9, tolerance: 0.05", "close"),
        ("subject: gpt3, quantity: params, claimed: 50e9", "does not hold"),
        ("subject: transformer, quantity: params, claimed: 65e6", "holds"),
        ("subject: transformer, quantity: context, claimed: 512", "does not hold"),
        ("subject: gpt2, quantity: training_tokens, claimed: 1e9", "cannot be checked"),
        ("subject: gpt-4, quantity: params, claimed: 1.8e12", "cannot be checked"),
        ("subject: gpt3, relative_to: transformer, quantity: heads, claimed: 12", "holds"),
        ("subject: gpt3, relative_to: gpt-4, quantity: params, claimed: 1", "cannot be checked"),
        ("subject: GPT_3, quantity: year, claimed: 2020", "holds"),
        ("subject: gpt3, quantity: year, claimed: 2021", "does not hold"),
    ],
)
def test_verdicts(tmp_path: Path, claim: str, expected: str) -> None:
    assert verdict(tmp_path, claim)["verdict"] == expected


def test_a_wrong_number_may_be_another_quantity_of_the_model(tmp_path: Path) -> None:
    found = verdict(tmp_path, "subject: gpt3, quantity: context, claimed: 12288")
    assert found["right"] == 2048
    assert found["hint"] == "12,288 is gpt3's d_model"


def test_the_articles_claims() -> None:
    """Which hold, and which do not: written down by hand from the papers."""
    done = run("check", "article", "--format", "json")
    assert done.code == 3
    claims = json.loads(done.out)["claims"]
    wrong = [
        (claim["subject"], claim["quantity"], claim["right"]) for claim in claims if claim["verdict"] == "does not hold"
    ]
    assert wrong == [
        ("transformer", "context", None),  # no limit: 512 is its d_model
        ("gpt3", "context", 2048),
        ("gpt2-xl", "layers", 48),
        ("gpt3", "params", pytest.approx(174_604_259_328 / 1_557_611_200)),
        ("gpt3", "training_flops", 314 * 10**21),
    ]
    assert [claim["quantity"] for claim in claims if claim["verdict"] == "close"] == ["common_crawl_tokens"]
