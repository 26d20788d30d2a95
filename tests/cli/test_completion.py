"""What a shell is offered behind the Tab key: every name that it offers is one that the command takes."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tests.helpers import run
from tscale.analysis import completion
from tscale.cli import app
from tscale.core.costs.states import find_targets
from tscale.core.dtypes import find_format


def offered(line: str) -> list[str]:
    """What bash is told to offer for the last word of a line."""
    words = line.split(" ")
    env = {"_TSCALE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, [], env=env, prog_name="tscale").stdout.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("tscale memory gpt2 --gpu h10", ["h100-nvl", "h100-pcie", "h100-sxm"]),
        ("tscale memory gpt2 --gpu her", ["here"]),
        ("tscale memory gpt2 --gpu rtx509", ["rtx5090"]),  # another name, where no shipped one begins so
        ("tscale serve gpt2 --dtype q4_k", ["q4_k", "q4_k_s", "q4_k_m"]),
        ("tscale memory gpt2 --cache-dtype q8", ["q8_0"]),
        ("tscale params gpt2 --set lay", ["layers=", "layer_input="]),
        ("tscale params gpt2 --set attention.kv", ["attention.kv_heads=", "attention.kv_rank="]),
        ("tscale train gpt2 --gpu-set memo", ["memory_gb="]),
        ("tscale show gpt2 --set vo", ["vocabulary="]),
        ("tscale check a", ["article"]),
        ("tscale show artic", ["article"]),
        ("tscale optimal --law hoff", ["hoffmann2022-1", "hoffmann2022-2", "hoffmann2022-3"]),
        ("tscale list h", ["hardware"]),
        ("tscale fit runs.csv --form m", ["moe-joint"]),
        ("tscale memory gpt2 --method g", ["grpo"]),
        ("tscale train gpt2 --stack m", ["megatron-bridge-26.06", "megatron-deepspeed", "megatron-lm"]),
        ("tscale train gpt2 --lora-targets a", ["attention", "all"]),
        ("tscale train gpt2 --lora-targets q,m", ["q,mlp"]),
        (
            "tscale plan gpt2 --precision bf16,fp",
            ["bf16,fp32-master", "bf16,fp16", "bf16,fp8", "bf16,fp8-bf16-gradients", "bf16,fp32"],
        ),
        ("tscale plan gpt2 --sequence t", ["true"]),
        ("tscale sweep memory gpt2 --vary gpus", ["gpus="]),
        ("tscale sweep memory gpt2 --vary set.lay", ["set.layers=", "set.layer_input="]),
        ("tscale sweep nothing --vary g", []),
        ("tscale params qwen3.6", ["qwen3.6-27b", "qwen3.6-35b-a3b"]),
    ],
)
def test_a_word_is_completed(line: str, names: list[str]) -> None:
    assert offered(line) == names


def test_every_format_that_is_offered_is_one() -> None:
    for name in completion.format_names(""):
        assert find_format(name, what="--dtype").name == name
    for name in completion.cache_format_names(""):
        assert find_format(name, what="--cache-dtype", cache=True).name == name


def test_every_matrix_that_is_offered_is_one() -> None:
    for name in completion.target_names(""):
        assert find_targets(name) is None or find_targets(name)


@pytest.mark.parametrize("key", completion.hardware_fields(""))
def test_every_field_of_hardware_that_is_offered_is_known(key: str) -> None:
    """A word that means nothing is refused for its value, and not for its key."""
    assert "unknown key" not in run("memory", "gpt2", "--gpu", "h100", "--gpu-set", f"{key}nothing").err


@pytest.mark.parametrize("key", completion.spec_fields(""))
def test_every_field_of_a_spec_that_is_offered_is_known(key: str) -> None:
    if key.endswith("="):
        assert "unknown key" not in run("params", "gpt2", "--set", f"{key}nothing").err
    else:
        assert completion.spec_fields(key)
