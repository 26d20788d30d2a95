"""`tscale memory --train`: what a device holds while it trains a model."""
