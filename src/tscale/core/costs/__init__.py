"""One file a question: its formula, what it means and where it was published stand together."""
