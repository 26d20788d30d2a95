"""`tscale fit`: scaling laws fitted to runs."""
