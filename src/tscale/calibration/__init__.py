"""One's own training runs, and the scaling law that fits them; numpy and scipy come with `tscale[fit]`."""

from __future__ import annotations

import os
from importlib.util import find_spec

from tscale.errors import RequestError

# L-BFGS factors matrices of ten rows. OpenBLAS shares such work among threads that wait for one another, which takes ten
# times as long, and a hundred times where other programs run. It reads this when scipy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def require(what: str = "fit") -> None:
    """Raises `RequestError` where what fits is not installed; `what` needs it."""
    if find_spec("scipy") is None or find_spec("numpy") is None:
        raise RequestError(
            f"{what} needs numpy and scipy: `pip install '.[fit]'` in the folder of tscale's source installs them"
        )
