"""Trains small models with the libraries people use and exports them to ONNX."""

import os

# Before anything here imports onnxruntime, whose Linux wheels send telemetry.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
