"""`tscale train`: how long a training run takes on which plan, and what it costs."""
