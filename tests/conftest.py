"""What holds for every test."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches the hub; those of the hub's client serve it themselves
