"""`tscale memory`: what a device holds while it serves a model, and whether that fits."""
