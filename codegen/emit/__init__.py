"""Emit kernels into a Relax function: groups, and operators over blocks of channels."""
