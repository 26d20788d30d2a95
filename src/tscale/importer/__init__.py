"""From a config.json, or its kin, to a spec: a reader, the rules of families, and what is quantised."""
