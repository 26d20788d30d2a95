"""The trainer of `tscale.models.trainer`, where answers look for it."""

from tscale.models.trainer import RANK, Trainer, trainer

__all__ = ["RANK", "Trainer", "trainer"]
