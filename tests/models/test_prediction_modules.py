"""Modules that predict one token further in training, against what their makers and publishers of runs say of them."""

from __future__ import annotations

import pytest

from tests.helpers import run
from tests.importer.recorded import spec_of
from tscale.api import flops
from tscale.calibration.training_rows import modules_of
from tscale.calibration.training_settings import with_settings
from tscale.core.costs.params import params
from tscale.core.costs.training import training_flops
from tscale.core.ledger import Lookup, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.partition import stretches
from tscale.errors import TscaleError
from tscale.models.lower import lower, run_of
from tscale.models.resolve import changed, resolve
from tscale.models.stages import stages


def _params(name: str, modules: int) -> int:
    return params(lower(resolve(name, [f"mtp={modules}"])).whole).total


def test_a_module_has_as_many_parameters_as_its_makers_say() -> None:
    """README_WEIGHTS.md of DeepSeek-V3: 11.5B beside the shared table and head. Hy3's 3.8e9, Ling's 3.1e9 and what Qwen3.5-9B's files hold."""
    plain = {
        name: params(lower(resolve(name)).whole).total
        for name in ("deepseek-v3", "hy3", "ling-3.0-flash", "qwen3.5-9b")
    }
    assert _params("deepseek-v3", 1) - plain["deepseek-v3"] == pytest.approx(11.5e9, rel=0.01)
    assert _params("hy3", 1) - plain["hy3"] == pytest.approx(3.8e9, rel=0.02)
    assert _params("ling-3.0-flash", 1) - plain["ling-3.0-flash"] == pytest.approx(3.1e9, rel=0.02)
    assert _params("qwen3.5-9b", 1) == pytest.approx(9_653_108_208, rel=1e-6)


def test_a_module_by_hand() -> None:
    """Two RMSNorms and a matrix [2d, d] before a layer of Llama, and one behind it: nothing else is stored."""
    d, d_ff, kv = 4096, 14336, 1024
    layer = 2 * d * d + 2 * d * kv + 3 * d * d_ff + 2 * d
    assert _params("llama-3.1-8b", 2) - params(lower(resolve("llama-3.1-8b"))).total == 2 * (layer + 2 * d * d + 3 * d)


@pytest.mark.parametrize(("modules", "published"), [(1, 1199e12 / 4612), (0, 782e12 / 3139)])
def test_flops_a_token_are_those_of_published_runs(modules: int, published: float) -> None:
    """Megatron-Bridge's performance summaries: TFLOP/s over tokens/s per GPU, of 26.02 (with MTP) and of 25.11 (w/o MTP)."""
    spec = resolve("deepseek-v3", [f"mtp={modules}"] if modules else [])
    each = training_flops(lower(spec), run_of(spec, 4096), 4096, "causal") / 4096
    assert each == pytest.approx(published, rel=0.006)


def test_formulas_of_plain_stacks_say_nothing_of_modules() -> None:
    """Those of Hoffmann 2022, Chowdhery 2022 and Narayanan 2021 count the layers of the stack and one head."""
    of_shapes = ("chinchilla", "palm", "megatron", "megatron_recompute")
    plain, more = (flops("llama-3-8b", set=changes).to_dict()["training_flops"] for changes in ([], ["mtp=1"]))
    assert [plain[key] is None for key in of_shapes] == [False] * 4
    assert [more[key] for key in of_shapes] == [None] * 4


@pytest.mark.parametrize(
    ("pieces", "sizes"),
    [(4, [16] * 3 + [13]), (8, [8] * 7 + [5]), (16, [4] * 15 + [1]), (32, [1] + [2] * 30 + [0])],
)
def test_pieces_are_those_of_megatron_bridge(pieces: int, sizes: list[int]) -> None:
    """recipes/deepseek/deepseek_v3.py and "Et|(tt|)*30mL" of scripts/performance, v0.3.0."""
    assert [one.size for one in stretches(61, pieces, ends=True, modules=1)] == sizes


def test_the_last_stage_has_a_copy_of_the_table_for_it() -> None:
    first, *_, last = stages(resolve("deepseek-v3", ["mtp=1"]), Parallelism(pipeline=16))
    tables = [entry for entry in last.entries if isinstance(entry, Lookup)]
    assert [entry.stored for entry in tables] == [1]
    heads = [entry.used for entry in last.entries if isinstance(entry, Matmul) and entry.role == "head"]
    assert heads == [2]
    assert not any(entry.name.startswith("mtp") for entry in first.entries)


def test_what_rows_of_publishers_train() -> None:
    page = "NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md ({})"
    row = {"source": page.format("26.02"), "gpus": "256"}
    assert modules_of(with_settings(row, "deepseek-v3", "gb200"), "deepseek-v3") == 1
    assert (
        modules_of(with_settings({**row, "source": page.format("25.11")}, "deepseek-v3", "gb200"), "deepseek-v3") == 0
    )
    assert modules_of(with_settings({**row, "source": page.format("25.11")}, "deepseek-v3", "b200"), "deepseek-v3") == 1
    assert modules_of({**row, "mtp": "0"}, "deepseek-v3") == 0
    assert modules_of(row, "kimi-k2") == 0
    assert modules_of({"source": "NVIDIA-NeMo/Automodel docs/performance-summary.md (2025-10-02)"}, "deepseek-v3") == 0


def test_refused_where_nothing_is_known_of_it() -> None:
    with pytest.raises(TscaleError, match="mtp: modules that predict further tokens are known in a decoder"):
        resolve("t5-small", ["mtp=1"])


def test_refused_where_the_last_layer_is_half_of_one() -> None:
    """Nemotron-H's layers are a mixer or a feed-forward each, and its modules are of several by `mtp_hybrid_override_pattern`."""
    pattern = {"model_type": "nemotron_h", "hybrid_override_pattern": "M*-E", "num_nextn_predict_layers": 1}
    spec = spec_of({**pattern, "mtp_hybrid_override_pattern": "*E"})
    assert (
        "Left out: the layers that predict further tokens (num_nextn_predict_layers), as the class does." in spec.notes
    )
    with pytest.raises(TscaleError, match="has both attention and a feed-forward, and the last layer has only one"):
        changed(spec, ("mtp=1",))


@pytest.mark.parametrize(
    ("family", "counts"),
    [("step3p5", ""), ("deepseek_v3", "; --set mtp=3 counts them as further last layers")],
)
def test_counted_where_they_are_as_the_last_layer(family: str, counts: str) -> None:
    """Step 3.5's are dense, with a window and a head of their own (ATOM, step3p5_mtp.py), where its last layer has experts."""
    notes = spec_of({"model_type": family, "num_nextn_predict_layers": 3}).notes
    assert (
        f"Left out: the layers that predict further tokens (num_nextn_predict_layers), as the class does{counts}."
        in notes
    )


@pytest.mark.parametrize("line", ["serve {} --gpu h100", "memory {}"])
def test_serving_says_that_engines_leave_modules_out(line: str) -> None:
    said = "its modules that predict further tokens are counted in each step"
    plain, more = (run(*line.format("qwen3-0.6b").split(), *changes).out for changes in ((), ("--set", "mtp=1")))
    assert said not in plain
    assert said in " ".join(more.split())
