"""Layouts and deployments by the thousand: numpy, which comes with `tscale[plan]`, runs the formulas of single answers on arrays."""
