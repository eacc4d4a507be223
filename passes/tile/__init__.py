"""Passes that compute large tensors a part at a time."""
