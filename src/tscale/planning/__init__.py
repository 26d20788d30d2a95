"""Layouts and deployments as arrays: which there are, what each costs, and which is best; numpy comes with `tscale[plan]`."""

from __future__ import annotations

from importlib.util import find_spec

from tscale.errors import RequestError


def require(what: str = "plan") -> None:
    """Raises `RequestError` where numpy is not installed; `what` needs it."""
    if find_spec("numpy") is None:
        raise RequestError(f"{what} needs numpy: `pip install '.[plan]'` in the folder of tscale's source installs it")
