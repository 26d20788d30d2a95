"""Hooks: what no rule says, one file a lineage. A row names one as `{hook: FILE.NAME}`: a function of the keys of the file."""
