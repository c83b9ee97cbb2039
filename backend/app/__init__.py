"""MLForge: upload an ONNX model, get predictions."""

import os

# ONNX Runtime's Linux wheels send telemetry unless told otherwise before the
# first import. This package is imported before anything that imports it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# With this set, a model file could choose the options that it is loaded with.
os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)
# numpy's algebra is not used here, and its threads would be there at every fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# gRPC's C core writes lines of its own to stderr; what matters of them, we log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
