"""`--dtype` of a built-in that is released in that format too, and how all matrices alike are asked for."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tests.helpers import answer, disclosed, run
from tscale.core.costs.weights import kept_in
from tscale.core.dtypes import DTYPES, find_format
from tscale.models.lower import lower
from tscale.models.release import release_in, released
from tscale.models.resolve import find
from tscale.models.spec import ModelSpec


def memory(*words: str) -> Any:
    return answer("memory", *words)


def test_fp8_of_llama_405b_is_what_meta_released() -> None:
    """57.752 GiB on each of 8 devices (vllm-project/vllm#6746); its attention and its first and last layers are in 16 bits."""
    data = memory("llama-3.1-405b", "--dtype", "fp8", "--gpus", "8", "--gpu", "h100", "--context", "4096")
    size = data["per_device_bytes"]["weights"]
    assert 0.98 < size / (57.752 * 2**30) <= 1
    assert data["dtype_release"] == "meta-llama/Llama-3.1-405B-Instruct-FP8"
    d, h, kv, d_ff = 16384, 16384, 1024, 53248
    attention, feed_forward = 2 * d * h + 2 * d * kv, 3 * d * d_ff
    cut = 2 * (126 * attention + 2 * feed_forward + 2 * 128256 * d) + 124 * (feed_forward + 4 * 2 * d_ff)
    whole = (
        124 * 4 * d + 2 * (2 * 126 + 1) * d
    )  # the scales of rows of the matrix down, of which each device has a part; norms
    assert size == cut // 8 + whole


def test_the_first_lines_say_the_release_and_how_to_ask_for_all_matrices() -> None:
    first = run("memory", "llama-3.1-405b", "--dtype", "fp8").out.split("\n\n")[0]
    assert "meta-llama/Llama-3.1-405B-Instruct-FP8" in first
    assert "attention" in first
    assert "--dtype fp8-pure" in first
    alike = run("memory", "llama-3.1-405b", "--dtype", "fp8-pure").out.split("\n\n")[0]
    assert "this is not meta-llama/Llama-3.1-405B-Instruct-FP8" in alike


def test_a_pure_format_is_in_all_matrices_of_layers() -> None:
    spec = find("llama-3.1-405b")
    assert isinstance(spec, ModelSpec)
    fp8 = find_format("fp8-pure", what="dtype")
    matrices = 126 * (2 * 16384 * 16384 + 2 * 16384 * 1024 + 3 * 16384 * 53248)
    assert sum(kept.bytes for kept in kept_in(lower(spec), fp8) if kept.format is fp8) == matrices


def test_a_release_brings_its_cache_and_another_may_be_asked_for() -> None:
    said = memory("qwen3.5-397b-a17b", "--dtype", "nvfp4")
    assert said["cache_dtype"] == "fp8"
    assert memory("qwen3.5-397b-a17b", "--dtype", "nvfp4", "--cache-dtype", "bf16")["cache_dtype"] == "bf16"
    assert memory("qwen3.5-397b-a17b", "--dtype", "nvfp4-pure")["cache_dtype"] == "bf16"


def test_a_changed_model_has_no_releases() -> None:
    data = memory("llama-3.1-405b", "--dtype", "fp8", "--set", "layers=4")
    assert data["dtype_release"] is None


def test_python_and_the_other_questions_mean_the_same_release() -> None:
    data = tscale.serve("llama-3.1-405b", gpu="h200", gpus=8, dtype="fp8").to_dict()
    assert data["dtype_release"] == "meta-llama/Llama-3.1-405B-Instruct-FP8"
    assert data["dtype"] == "fp8-row"


@pytest.mark.parametrize("name", [name for name in disclosed() if getattr(find(name), "releases", None)])
def test_each_release_of_a_built_in_holds_its_format(name: str) -> None:
    """Its main format is of the bits that it is asked for by, in most of its matrices."""
    spec = find(name)
    assert isinstance(spec, ModelSpec)
    for release in spec.releases or ():
        assert release_in(spec, DTYPES[release.dtype]) is release
        mixed = released(spec, release.weights)
        assert mixed is not None
        sizes: dict[int, int] = {}
        for kept in kept_in(lower(spec), mixed):
            sizes[int(kept.format.bits)] = sizes.get(int(kept.format.bits), 0) + kept.bytes
        assert max(sizes, key=lambda bits: sizes[bits] // bits) == int(DTYPES[release.dtype].bits)
