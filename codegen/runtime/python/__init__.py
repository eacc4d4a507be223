"""The Python flavour: standard library and ctypes only."""
