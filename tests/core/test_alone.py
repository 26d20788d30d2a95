"""The arithmetic stands alone."""

from __future__ import annotations

import subprocess
import sys


def test_the_core_imports_no_third_party_package() -> None:
    """In a process of its own, importing every module of `tscale.core` brings in the standard library and itself."""
    code = """
import pkgutil, sys
before = set(sys.modules)
import tscale.core
for module in pkgutil.walk_packages(tscale.core.__path__, "tscale.core."):
    __import__(module.name)
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(brought - set(sys.stdlib_module_names) - {"tscale"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_built_in_model_is_counted_without_yaml_or_pydantic() -> None:
    """An answer does not pay for what it does not need."""
    code = """
import sys, tscale
assert tscale.params(tscale.lower(tscale.load("gpt3"))).total == 174604259328
print([name for name in ("pydantic", "yaml", "rich", "typer") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
