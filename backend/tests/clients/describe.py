"""Prints a client's description of its messages: `python describe.py MODULE`."""

import base64
import importlib
import sys

if __name__ == "__main__":
    name = sys.argv.pop()
    described = importlib.import_module(name).DESCRIPTOR.serialized_pb
    sys.stdout.write(base64.b64encode(described).decode())
