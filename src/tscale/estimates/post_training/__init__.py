"""Training after pre-training."""
