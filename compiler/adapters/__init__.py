"""Small ONNX builders the planner may insert between ports."""
