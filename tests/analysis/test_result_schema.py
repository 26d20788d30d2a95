"""The schema of each question's answers holds of answers that it was not made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.helpers import run
from tscale.analysis.questions import question
from tscale.analysis.result_schema import SAMPLES, schema_of_result
from tscale.catalogue.models import names
from tscale.errors import NotPublishedError, TscaleError
from tscale.render.json import as_data

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
OTHERS: dict[str, list[dict[str, Any]]] = {
    "summary": [{}, {"gpu": "rtx-4090"}],
    "attention": [{}, {"versus": True, "context": "4k"}],
    "flops": [{"tokens": "1e12"}],
    "memory": [{"gpu": "a100", "page": 16, "cache_dtype": "fp8"}, {"train": True, "gpu": "h200", "gpus": 8}],
    "train": [{"gpu": "a100", "gpus": 64, "tokens": "1e12", "mfu": "30%"}],
    "serve": [{"gpu": "h200", "context": "1k", "price": 2}],
    "loss": [{"tokens": "1e12"}],
}


@cache
def schema_of(name: str) -> dict[str, Any]:
    return schema_of_result(name)


def faults(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where a value is not as a schema says."""
    types = schema.get("type", list(TYPES))
    types = [types] if isinstance(types, str) else types
    if not any(isinstance(value, TYPES[one]) and (one == "boolean" or not isinstance(value, bool)) for one in types):
        yield f"{path}: {value!r} is no {types}"
    if isinstance(value, dict):
        yield from (f"{path}.{key} is missing" for key in schema.get("required", ()) if key not in value)
        for key, item in value.items():
            yield from faults(item, schema.get("properties", {}).get(key, {}), f"{path}.{key}")
    if isinstance(value, list):
        for item in value:
            yield from faults(item, schema.get("items", {}), f"{path}[]")


def answers(name: str) -> Iterator[Any]:
    """Answers about every fifteenth model; what is refused has none."""
    asked = question(name)
    for model in names()[::15]:
        for more in OTHERS[name]:
            try:
                yield as_data(asked.analyze(asked.made({"model": model, **more})))
            except (NotPublishedError, TscaleError):
                continue


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_schema_holds_of_other_answers(name: str) -> None:
    found = {fault for answer in answers(name) for fault in faults(answer, schema_of(name))}
    assert found == set()


VARIED = (
    "train qwen3-vl-4b --gpu h100 --gpus 8 --batch 64 --images 2 --image-size 448x448 --tokens 1e9",
    "train llama-3.1-8b --gpu h100 --gpus 8 --batch 64 --lora-rank 8 --tokens 1e9",
    "train mixtral-8x7b --gpu h100 --gpus 64 --batch 64 --expert 4 --tokens 1e9",
    "train llama-3.2-1b --gpu h100 --gpus 8 --batch 8 --method sft",
    "loss llama-3.1-8b --tokens 1e12 --bits 8",
    "memory qwen3-vl-4b --images 1",
    "memory llama-3.2-1b --train --method ppo --gpu h100 --gpus 8",
    "flops qwen3-vl-4b --video-frames 2 --tokens 1e9",
    "flops llama-3.2-1b --method ppo",
    "serve qwen3-vl-4b --gpu h100 --images 1",
    "params qwen3-vl-4b",
)


@pytest.mark.parametrize("line", VARIED)
def test_every_key_of_an_answer_is_described(line: str) -> None:
    """Answers with images, adapters, bits and steps after pre-training have keys that others have not."""
    schema, data = schema_of(line.partition(" ")[0]), json.loads(run(*line.split(), "--format", "json").out)
    assert list(faults(data, schema)) == []
    assert set(undescribed(data, schema)) == set()


def undescribed(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Keys of a value that a schema does not have; of a mapping by other names, such as figures, none."""
    if isinstance(value, dict) and "additionalProperties" not in schema:
        for key, item in value.items():
            known = schema.get("properties", {}).get(key)
            yield from [f"{path}.{key}"] if known is None else undescribed(item, known, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        yield from undescribed(item, schema.get("items", {}), f"{path}[]")


def test_a_fault_is_found() -> None:
    schema = schema_of("memory")
    answer = json.loads(run("memory", "gpt2", "--gpu", "h100", "--format", "json").out)
    assert list(faults(answer, schema)) == []
    assert list(faults({**answer, "batch": "one"}, schema)) == [".batch: 'one' is no ['integer']"]
    assert list(faults({key: value for key, value in answer.items() if key != "gpu"}, schema)) == [".gpu is missing"]


def test_figures_say_their_units() -> None:
    assert schema_of("memory")["properties"]["per_device_bytes"]["properties"]["total"]["description"] == "in bytes"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schema laws memory", 'schema laws has no more arguments: drop "memory", or write result in place of laws'),
        ("schema result memry", 'no schema of the answers of "memry": did you mean memory?'),
        ("schema result", f"schema result needs a command: {', '.join(SAMPLES)}"),
    ],
)
def test_what_has_no_schema_is_refused(line: str, said: str) -> None:
    assert run(*line.split()).err == f"tscale: {said}\n"
