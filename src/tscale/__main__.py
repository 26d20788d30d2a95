"""`tscale` and `python -m tscale`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Runs the command line; an interrupt, at whatever moment, ends it quietly."""
    gc.disable()  # an answer takes no longer than a collection: there is nothing to gain from one
    try:
        from tscale.cli import app

        app(prog_name="tscale")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # nor in looking through all that there is when the process ends anyway


if __name__ == "__main__":
    main()
