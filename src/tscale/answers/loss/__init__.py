"""`tscale loss`: what laws expect of a model and its tokens."""
