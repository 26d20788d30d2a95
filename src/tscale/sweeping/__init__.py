"""Sweeps: one question over all combinations of many values, exact, in parts that a stopped sweep goes on from."""
