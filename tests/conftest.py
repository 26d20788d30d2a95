"""What holds for every test."""

from __future__ import annotations

import gc
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches the hub; those of the hub's client serve it themselves

QUICK_CASES = 4
"""Cases of a test that are not slow at the most."""

QUICK_SAMPLE = 3
"""Of more than these, so many are not slow: evenly spread, so that models, files and commands of each kind are among them."""


gc.disable()  # collecting tests makes objects that all stay; looking through them again and again is a tenth of its time


def pytest_collection_finish() -> None:
    """From here on garbage is collected, but not looked for among the tests themselves."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # a command looks for none at all
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each of two workers begins with a half of the tests, so that few files are prepared for twice, and takes from the other in the end."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test of many cases, all but a few are slow: `-m "not slow"` asks something of every test of the house."""
    cases = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    for ones in cases.values():
        step = 1 if len(ones) <= QUICK_CASES else -(-len(ones) // QUICK_SAMPLE)
        for place, item in enumerate(ones):
            if place % step:
                item.add_marker(pytest.mark.slow)


def pytest_configure(config: pytest.Config) -> None:
    """In a fresh tree each of several workers rewrites the assertions of its part of the tests, before all of them collect all.

    That takes twice as long as everything else that collecting does, and each would do it of all.
    """
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode:
        return
    try:
        from _pytest.assertion.rewrite import PYC_TAIL, _rewrite_test, _write_pyc, assertstate_key, get_cache_dir
    except ImportError:  # they are pytest's own, which another version may call otherwise: then each rewrites all
        return
    place, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for file in sorted(Path(__file__).parent.rglob("test_*.py"))[place::workers]:
        kept = get_cache_dir(file) / (file.stem + PYC_TAIL)
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            told, code = _rewrite_test(file, config)
            _write_pyc(config.stash[assertstate_key], code, told, kept)


if os.environ.get("PYTEST_XDIST_WORKER"):

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """One message a test, of how its call ended, and those of a setup or a teardown that failed: six are a fifth of a quick test."""
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True
