"""Searches of training layouts."""
