"""The JSON Schema of a question's answers, made of answers: which keys there are, of which type, and in which unit."""

from __future__ import annotations

from typing import Any, Final

from tscale.analysis.questions import question
from tscale.errors import RequestError
from tscale.render.json import SCHEMA_VERSION, as_data

_TOWER: Final = {"model_type": "vit"}
"""A model without text."""
_READS_IMAGES: Final = "qwen3-vl-2b"
_ADAPTERS: Final = {
    "name": "adapters",
    "layers": 2,
    "d_model": 64,
    "vocabulary": 100,
    "attention": {"heads": 2},
    "feed_forward": {"d_ff": 256},
    "positions": {"kind": "rotary"},
    "norm": {"kind": "rmsnorm"},
    "tied": True,
    "adapter": {"rank": 4, "targets": ["q", "v"]},
}
SAMPLES: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "summary": (
        {"model": "llama-3.1-8b", "gpu": "h100"},
        {"model": "t5-small"},
        {"model": "gpt-4"},
        {"model": "mixtral-8x7b", "gpu": "a100"},
        {"model": "bert-base", "gpu": "a100"},
        {"model": "mamba-370m", "gpu": "rtx-4090"},
        {"model": "nemotron-4-340b", "gpu": "rtx-4090"},
    ),
    "params": (
        {"models": ["gpt3"]},
        {"models": ["mixtral-8x7b"]},
        {"models": ["gpt-4"]},
        {"models": ["t5-small"]},
        {"models": [_READS_IMAGES]},
        {"models": [_ADAPTERS]},
        {"models": [_TOWER]},
    ),
    "attention": (
        {"model": "gpt3", "context": "2k,8k"},
        {"model": "mamba-2.8b"},
        {"model": "bert-base"},
        {"model": "gpt3", "versus": True, "context": "8k"},
    ),
    "flops": (
        {},
        {"model": "t5-small", "tokens": "1e9"},
        {"model": "deepseek-v3"},
        {"model": "bert-base"},
        {"model": _TOWER},
        {"model": _READS_IMAGES, "images": 2, "tokens": "1e9"},
        {"model": "gpt2", "method": "sft"},
        {"model": "gpt2", "method": "dpo"},
        {"model": "gpt2", "method": "grpo"},
    ),
    "compare": (
        {"models": ["transformer", "gpt3"]},
        {"models": ["gpt2", "mamba-2.8b", "gpt-4"]},
        {"models": [_TOWER, _TOWER]},
    ),
    "memory": (
        {"model": "llama-3.1-8b", "gpu": "h100", "batch": 16},
        {"model": "gpt3", "gpu": "h100"},
        {"model": "mamba-2.8b"},
        {"model": "llama-3.1-8b", "train": True, "gpu": "h100", "gpus": 8, "zero": 3, "batch": 64},
        {"model": "gpt3", "train": True, "gpu": "h100", "gpus": 64, "tensor": 8, "pipeline": 2},
        {"model": "bert-base", "train": True},
        {"model": _READS_IMAGES, "train": True, "images": 2, "gpu": "h100", "gpus": 8, "batch": 64},
        {"model": _READS_IMAGES, "images": 2},
        {"model": "gpt2", "train": True, "method": "dpo", "gpu": "h100"},
        {"model": "gpt2", "train": True, "method": "grpo", "gpu": "h100", "gpus": 8},
        {"model": "gpt2", "train": True, "method": "ppo"},
        {"model": "gpt2", "train": True, "method": "sft"},
    ),
    "train": (
        {"model": "gpt3", "gpu": "h100", "gpus": 1024},
        {"model": "gpt3", "gpu": "h100", "days": 30, "mfu": "40%", "grid": "france"},
        {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 64, "batch": 128, "zero": 3},
        {"model": "gpt3", "gpu": "h100", "gpus": 64, "batch": 64, "tensor": 8, "pipeline": 8},
        {"model": _READS_IMAGES, "gpu": "h100", "gpus": 8, "batch": 64, "images": 2, "tokens": "1e9"},
        {"model": "llama-3.2-1b", "gpu": "h100", "gpus": 8, "batch": 64, "qlora": True, "tokens": "1e9"},
        {"model": "mixtral-8x7b", "gpu": "h100", "gpus": 64, "batch": 64, "expert": 8, "tokens": "1e9"},
        {"model": "deepseek-v3.2", "gpu": "h100", "gpus": 64, "batch": 64, "zero": 1, "tokens": "1e9"},
        {"model": "gpt2", "gpu": "h100", "gpus": 8, "batch": 8, "method": "sft"},
        {"model": "gpt2", "gpu": "h100", "gpus": 8, "batch": 8, "method": "dpo"},
        {"model": "gpt2", "gpu": "h100", "gpus": 8, "method": "ppo"},
    ),
    "serve": (
        {"model": "llama-3.1-8b", "gpu": "h100", "batch": 16},
        {"model": "llama-3.1-70b", "gpu": "h100", "gpus": 4, "draft": "llama-3.1-8b", "acceptance": "80%"},
        {"model": "mamba-2.8b", "gpu": "a100", "price": 2},
        {"model": "t5-small", "gpu": "a100"},
        {"model": _READS_IMAGES, "gpu": "h100", "images": 2},
        {"model": "llama-3.1-70b", "gpu": "h100", "prefill": "tensor=4", "decode": "tensor=4"},
    ),
    "plan": (
        {"model": "llama-3.1-8b", "serve": True, "gpu": "h100", "rate": 4, "ttft": "1s", "tpot": "20ms"},
        {"model": "gpt-oss-20b", "serve": True, "gpu": "h100,h200", "users": 90, "ttft": "1s", "tensor": "1..2"},
        {"model": "llama-3.1-8b", "serve": True, "gpu": "h100", "gpus": 4, "ttft": "1ms", "price": 2},
        {"model": "llama-3.1-405b", "serve": True, "gpu": "h100", "gpus": 1, "ttft": "1s"},
        {"model": "llama-3.1-8b", "serve": True, "gpu": "h100", "rate": 4, "ttft": "1s",
         "prefix": "50%", "host_bandwidth": 55, "pools": "aggregated"},
        {"model": _READS_IMAGES, "serve": True, "gpu": "h100", "rate": 4, "ttft": "2s", "images": 2, "input": 4096},
        {"model": "llama-3.2-1b", "train": True, "gpu": "h100", "gpus": "8,16",
         "batch": 64, "tensor": "1,2", "price": 2},
        {"model": "gpt3", "train": True, "gpu": "h100", "gpus": 8, "batch": 8, "tensor": 8},
        {"model": "llama-3.2-1b", "train": True, "gpu": "h100", "gpus": 2, "batch": 8, "qlora": True},
        {"model": "gpt2", "train": True, "gpu": "h100", "gpus": 2, "batch": 8, "method": "sft"},
        {"model": "gpt2", "train": True, "gpu": "h100", "gpus": 2, "batch": 8, "method": "grpo"},
        {"model": "mixtral-8x7b", "train": True, "gpu": "h100", "gpus": 64,
         "batch": 64, "loss": "plain", "pipeline": 2},
    ),
    "optimal": (
        {"flops": "5.76e23"},
        {"params": "7B", "inference_tokens": "1e12"},
        {"gpu": "h100", "dollars": "1e6"},
        {"tokens": "1e12", "unique_tokens": "1e11"},
        {"flops": "1e22", "experts": "any", "memory_gb": 80},
        {"flops": "1e22", "experts": 64, "active_share": "1/8"},
    ),
    "loss": (
        {"model": "gpt3"},
        {"model": "gpt2", "tokens": "1e10", "unique_tokens": "1e9", "inference_tokens": "1e12"},
        {"model": "deepseek-v3", "tokens": "1e12"},
        {"model": "gpt2", "tokens": "1e10", "law": ["gadre2024-c4"]},
        {"model": "gpt2", "tokens": "1e10", "bits": "4,8,16"},
    ),
    "hyper": (
        {"model": "gpt3"},
        {"model": "deepseek-v3", "tokens": "1e12"},
        {"model": "gpt2", "tokens": "1e10", "law": ["li2025"]},
    ),
    "design": ({"params": "7e9"}, {"flops": "1e22"}, {"flops": "1e21", "like": "mixtral"}),
    "check": ({"claims": "article"},),
    "list": (
        {"what": "models"},
        {"what": "hardware"},
        {"what": "families"},
        {"what": "formats"},
        {"what": "laws"},
        {"what": "claims"},
    ),
}  # fmt: skip
"""Questions whose answers have all keys that there are, between them; `fit` and `verify` need files of the user's."""

_FIGURES: Final = {
    "type": "object",
    "description": "How the figure at each path is known; rows[].context stands for a whole column.",
    "additionalProperties": {
        "type": "object",
        "properties": {key: {"type": "string"} for key in ("unit", "known", "source", "note")},
        "required": ["unit", "known", "source"],
    },
}
_DIGITS: Final = {
    "type": "object",
    "description": "The digits of every integer past 2^53, by its path.",
    "additionalProperties": {"type": "string", "pattern": "^-?[0-9]+$"},
}


def schema_of_result(name: str) -> dict[str, Any]:
    """The JSON Schema of the answers of a question, of one model where several may be asked about.

    Raises:
        RequestError: for a question whose answers are about the user's own files.
    """
    if name not in SAMPLES:
        raise RequestError(
            f"the schema of {name} is not made: its answers are about files; known: {', '.join(SAMPLES)}"
        )
    asked = question(name)
    return schema_of_answers(name, [as_data(asked.analyze(asked.made(given))) for given in SAMPLES[name]])


def schema_of_answers(name: str, answers: list[Any]) -> dict[str, Any]:
    """The JSON Schema of answers of a command, each as its JSON."""
    bodies = [body for answer in answers for body in (answer if isinstance(answer, list) else [answer])]
    units = {path: how["unit"] for body in bodies for path, how in body["figures"].items() if how["unit"]}
    schema = _of(bodies, "", units)
    schema["properties"] |= {
        "schema_version": {"const": SCHEMA_VERSION},
        "figures": _FIGURES,
        "digits": _DIGITS,
        "notes": {"type": "array", "items": {"type": "string"}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"The answer of tscale {name} --format json",
        **schema,
    }


def _of(values: list[Any], path: str, units: dict[str, str]) -> dict[str, Any]:
    """What all of these values at a path are."""
    schema = _typed(values)
    if path in units:
        schema["description"] = f"in {units[path]}"
    mappings = [value for value in values if isinstance(value, dict)]
    if mappings:
        schema |= _of_mappings(mappings, path, units)
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = _of(items, f"{path}[]", units)
    return schema


def _of_mappings(mappings: list[dict[str, Any]], path: str, units: dict[str, str]) -> dict[str, Any]:
    """The keys of mappings at a path, and those that all of them have."""
    keys = list(dict.fromkeys(key for value in mappings for key in value))
    inner = f"{path}." if path else ""
    found = {key: [value[key] for value in mappings if key in value] for key in keys}
    return {
        "properties": {key: _of(values, f"{inner}{key}", units) for key, values in found.items()},
        "required": [key for key, values in found.items() if len(values) == len(mappings)],
    }


def _typed(values: list[Any]) -> dict[str, Any]:
    """The type of values, or their types; of what was never there, nothing is known."""
    types = sorted({_type(value) for value in values})
    if "number" in types and "integer" in types:
        types.remove("integer")
    if not types or types == ["null"]:
        return {}
    return {"type": types[0] if len(types) == 1 else types}


def _type(value: object) -> str:
    """The JSON type of a value."""
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object"), (list, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")
