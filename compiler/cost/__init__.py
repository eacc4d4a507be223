"""Records of measurements and models that predict them."""
