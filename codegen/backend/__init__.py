"""What runs a linked model: TVM and ONNX Runtime."""
