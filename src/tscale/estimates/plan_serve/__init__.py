"""Searches of deployments."""
