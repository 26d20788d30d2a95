"""`tscale plan --train`: layouts of a training run, ranked."""
