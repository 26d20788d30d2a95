"""Numbers of one system: what answers show, without a table."""
