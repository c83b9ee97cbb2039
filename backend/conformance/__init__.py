"""ONNX's own backend test cases, sent to a running server through each of its doors."""
