"""Passes that merge work."""
