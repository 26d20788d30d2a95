"""Sweeps over models that are towers alone."""

from __future__ import annotations

import json
from pathlib import Path

import tscale
from tests.answers.test_tower_alone import VIT


def test_a_sweep_answers_about_a_tower_as_its_questions_do(tmp_path: Path) -> None:
    file = tmp_path / "vit.json"
    file.write_text(json.dumps(VIT), encoding="utf-8")
    rows = tscale.sweep("memory", str(file), vary={"images": [1, 8]}, train=True)
    single = [tscale.memory(str(file), train=True, images=images).to_dict() for images in (1, 8)]
    assert list(rows["per_device_bytes.total"]) == [one["per_device_bytes"]["total"] for one in single]
    wider = tscale.sweep("params", str(file), vary={"set.towers.0.pieces.2.rows": [1, 2, 3]})
    assert list(wider["params.total"].diff().dropna().unique()) == [768]
