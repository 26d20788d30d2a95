"""What a device holds while it serves."""
