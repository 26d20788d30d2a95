"""What a device holds while it trains."""
