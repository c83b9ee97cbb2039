"""Made from backend/proto by `python -m scripts.proto`; not edited by hand."""
