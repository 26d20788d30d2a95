"""What does a transformer cost? See README.md."""
