"""What holds for every test."""

from __future__ import annotations

import gc
import os
from collections import defaultdict

import pytest
from _pytest.runner import runtestprotocol

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches the hub; those of the hub's client serve it themselves

QUICK_CASES = 5
"""Cases of a test that are not slow at the most."""

QUICK_SAMPLE = 4
"""Of more than these, so many are not slow: evenly spread, so that models, files and commands of each kind are among them."""


gc.disable()  # collecting tests makes objects that all stay; looking through them again and again is a tenth of its time


def pytest_collection_finish() -> None:
    """From here on garbage is collected, but not looked for among the tests themselves."""
    gc.freeze()
    gc.enable()


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


if os.environ.get("PYTEST_XDIST_WORKER"):

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """One message a test, of how its call ended, and those of a setup or a teardown that failed: six are a fifth of a quick test."""
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True
