"""Fixtures of the cache's tests."""

import pytest

from app.observability.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="test")
