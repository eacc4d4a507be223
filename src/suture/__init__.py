"""Stitch ONNX components into one graph, optimize it, and package it as a function."""

__version__ = "0.1.0"
