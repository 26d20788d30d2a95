"""What holds for every test."""

from __future__ import annotations

import os
from collections import Counter

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches the hub; those of the hub's client serve it themselves

UNLIKE = frozenset(
    [
        "albert-base",
        "bamba-9b",
        "bart-large",
        "bert-base",
        "deberta-base",
        "deepseek-v3",
        "deepseek-v3.2",
        "falcon-h1-0.5b",
        "gemma-3-4b",
        "gemma-4-26b-a4b",
        "gpt-4",
        "gpt-oss-20b",
        "gpt2",
        "gpt3",
        "jamba",
        "jetmoe-8b",
        "lfm2-1.2b",
        "llama-3.1-8b",
        "llama-4-scout",
        "mamba-130m",
        "mixtral-8x7b",
        "nemotron-h-56b",
        "qwen3-next-80b-a3b",
        "recurrentgemma-2b",
        "rwkv-4-169m",
        "switch-base-8",
        "t5-small",
        "whisper-tiny",
        "xlnet-base",
        "xlstm-7b",
        "zamba2-1.2b",
    ]
)
"""Built-in models that are unlike one another: what holds of these is likely to hold of the others."""

MANY = 100
"""Models that a test is asked of before those that are like others make it slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that every built-in model is put to, all but those of `UNLIKE` are slow."""
    from tscale.catalogue.models import names

    built_in = set(names())
    models = [(item, _model_of(item, built_in)) for item in items]
    asked = Counter(_test_of(item) for item, model in models if model is not None)
    for item, model in models:
        if model is not None and model not in UNLIKE and asked[_test_of(item)] >= MANY:
            item.add_marker(pytest.mark.slow)


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _model_of(item: pytest.Item, built_in: set[str]) -> str | None:
    """The built-in model that a test is put to; None of one about something else."""
    given = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    return next((value for value in given if isinstance(value, str) and value in built_in), None)
