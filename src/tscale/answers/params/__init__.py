"""`tscale params`: the parameters of a model, line by line."""
