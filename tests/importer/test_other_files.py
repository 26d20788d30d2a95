"""Files next to a model's own: what they are is said, and what they say of its quantisation is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run

LLAMA = {"model_type": "llama", "torch_dtype": "float16"}
AUTOGPTQ = {
    "bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": False, "sym": True, "true_sequential": True,
    "model_name_or_path": None, "model_file_base_name": "gptq_model-4bit-128g",
}  # fmt: skip
"""As TheBloke/wizard-mega-13B-GPTQ has it."""
AUTOAWQ = {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}
"""As AutoAWQ 0.1 wrote quant_config.json."""


def folder_of(tmp_path: Path, config: dict[str, Any], **files: dict[str, Any]) -> str:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    for name, data in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(data))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "beside", "inside"),
    [
        ("quantize_config", AUTOGPTQ, {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}),
        ("quant_config", AUTOAWQ, {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "GEMM"}),
    ],
)  # fmt: skip
def test_a_model_is_quantised_as_the_file_next_to_its_own_says(
    name: str, beside: dict[str, Any], inside: dict[str, Any], tmp_path: Path
) -> None:
    """As much as where the same stands in its config.json: half a byte for most of 6.7e9 parameters, not two bytes."""
    own = answer("memory", folder_of(tmp_path, LLAMA | {"quantization_config": inside}))["per_device_bytes"]["weights"]
    found = answer("memory", folder_of(tmp_path, LLAMA, **{name: beside}))["per_device_bytes"]["weights"]
    assert found == own
    assert 3.3e9 < found < 4.2e9


@pytest.mark.parametrize(
    ("name", "beside", "said"),
    [
        ("quantize_config", {**AUTOGPTQ, "bits": 5}, "bits must be one of 2, 3, 4, 8, not 5"),
        ("quantize_config", {**AUTOGPTQ, "bits": None}, "bits must be one of 2, 3, 4, 8, not null"),
        ("quant_config", {**AUTOAWQ, "w_bit": 5}, "w_bit must be one of 2, 3, 4, 8, not 5"),
        ("quant_config", {**AUTOAWQ, "w_bit": None}, "w_bit must be one of 2, 3, 4, 8, not null"),
    ],
)
def test_what_that_file_has_wrong_is_told_of_it_by_its_own_keys(
    name: str, beside: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, LLAMA, **{name: beside})
    done = run("memory", folder)
    assert (done.code, done.err.strip()) == (1, f"tscale: {folder}/{name}.json: {said}")


def test_what_a_config_json_says_itself_counts_before_the_file_next_to_it(tmp_path: Path) -> None:
    said = {"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": False, "sym": True}
    both = answer("memory", folder_of(tmp_path, LLAMA | {"quantization_config": said}, quantize_config=AUTOGPTQ))
    assert both["per_device_bytes"]["weights"] > 6.7e9


def test_a_file_of_that_name_of_another_program_is_passed_over(tmp_path: Path) -> None:
    """transformers.js writes a quantize_config.json too, of which modules it converted."""
    other = {"per_channel": False, "reduce_range": False, "per_model_config": {}}
    assert answer("memory", folder_of(tmp_path, LLAMA, quantize_config=other))["per_device_bytes"]["weights"] > 13e9


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.19.0.dev0"}, 'is a "UNet2DConditionModel" of diffusers'),
        ({"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0"}, "takes its steps, and no shape"),
        (AUTOGPTQ, "says how weights are quantised, and no shape: name the config.json of the model next to it"),
        (AUTOAWQ, "says how weights are quantised, and no shape"),
        ({"image_mean": [0.5], "size": {"longest_edge": 1}}, "says how images or sounds are prepared, and no shape"),
        ({"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.31.0"}, "says how text is generated, and no shape"),
        ({"filename": "x.gguf", "metadata": {"GGUF.version": {"value": 3}}}, "is a listing of a GGUF file: name the .gguf file itself"),
        ({"hidden_size": 64}, 'no "model_type": add it'),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_shape_is_told_by_its_keys(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps(data))
    done = run("params", str(path))
    assert done.code == 1
    assert said in done.err


def test_a_recipe_of_nemo_says_what_it_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "llama.yaml"
    path.write_text("trainer:\n  devices: 8\nmodel:\n  num_layers: 32\n  hidden_size: 4096\n")
    assert "is a training recipe of NeMo, whose vocabulary is that of a tokenizer" in run("params", str(path)).err
