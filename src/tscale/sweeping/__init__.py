"""Sweeps: one question over all combinations of many values, exact, in parts that a stopped sweep goes on from."""

from importlib import import_module

from tscale.errors import RequestError


def need(package: str, what: str, extra: str) -> None:
    """Raises `RequestError` where a package is not installed that something needs."""
    try:
        import_module(package)
    except ImportError:
        raise RequestError(
            f"{what} needs {package}: `pip install '.[{extra}]'` in the folder of tscale's source installs it"
        ) from None
