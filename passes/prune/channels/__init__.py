"""Structured pruning: channels and attention heads go under an accuracy budget."""

from suture.passes.prune.channels.budget import PruneChannels

__all__ = ["PruneChannels"]
