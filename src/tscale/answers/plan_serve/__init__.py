"""`tscale plan --serve`: deployments that meet targets, ranked."""
