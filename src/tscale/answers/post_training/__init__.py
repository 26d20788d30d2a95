"""`--method` of memory, train, flops and plan: steps after pre-training."""
