"""`tscale serve`: how fast a deployment answers, and what that costs."""
