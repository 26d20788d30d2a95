"""`tscale list`: what is built in, of each kind."""
