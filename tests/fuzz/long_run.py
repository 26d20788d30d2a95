"""Tries every property on as many new inputs as one asks for: `python -m tests.fuzz.long_run [CASES] [PROPERTY...]`.

Exit code 1 if one does not hold; hypothesis prints the smallest input that breaks it.
"""

from __future__ import annotations

import sys
import time
import traceback
from typing import Final

from hypothesis import HealthCheck, given, settings

from tests.fuzz.files import FILES
from tests.fuzz.properties import PROPERTIES, Property
from tests.fuzz.requests import REQUESTS
from tests.fuzz.running import ENDED

ALL: Final[dict[str, Property]] = PROPERTIES | FILES | REQUESTS


def main() -> int:
    """Tries CASES (2000) inputs of each property, or of those that are named."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    failed = 0
    for name in sys.argv[2:] or ALL:
        one = ALL[name]
        tried = given(*one.inputs)(one.holds)
        started = time.monotonic()
        try:
            settings(
                max_examples=cases,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            )(tried)()
        except BaseException as error:  # groups of failures, and a hang, are such
            if isinstance(error, KeyboardInterrupt):
                raise
            traceback.print_exc()
            failed += 1
        ended = ", ".join(f"{count:,} with exit code {code}" for code, count in sorted(ENDED.items()))
        ENDED.clear()
        print(f"{name}: {cases} cases in {time.monotonic() - started:.0f} s; commands: {ended or 'none'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
