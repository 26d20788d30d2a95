"""What can be asked: one file a question, with its request and the way to its answer."""
