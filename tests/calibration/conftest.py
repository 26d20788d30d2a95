"""Before any test here imports scipy: one thread of OpenBLAS, as in the command."""

import tscale.calibration  # noqa: F401 (what its import sets)
