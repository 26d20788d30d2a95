"""Before any test here imports scipy: one thread of OpenBLAS, as in the command."""

import tscale.fitting  # noqa: F401 (what its import sets)
