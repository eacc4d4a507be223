"""How kernels are laid out in registers and loops: one rule a file."""
