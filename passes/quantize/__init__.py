"""Quantisation after training: products in 8 bits under an accuracy budget."""

from suture.passes.quantize.budget import Quantize

__all__ = ["Quantize"]
