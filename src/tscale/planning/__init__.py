"""Layouts and deployments by the thousand: numpy, which comes with `tscale[plan]`, runs the formulas of single answers on arrays."""

from importlib.util import find_spec

from tscale.errors import RequestError


def need_numpy() -> None:
    """Raises `RequestError` where numpy is not installed, before a module of this package is imported."""
    if find_spec("numpy") is None:
        raise RequestError("plan searches with numpy, which is not installed: `pip install 'tscale[plan]'`")
