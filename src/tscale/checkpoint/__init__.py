"""What a checkpoint holds, read from its headers alone, and whether that is what a ledger predicts."""
