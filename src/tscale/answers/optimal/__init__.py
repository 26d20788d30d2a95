"""`tscale optimal`: how a budget is best spent."""
