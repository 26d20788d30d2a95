"""What a file may say of a model, how it is read, and how a model becomes a ledger."""
