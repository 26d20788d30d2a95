"""The arithmetic. Imports nothing outside the standard library (a test proves it)."""
