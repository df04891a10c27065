"""A fake cluster for what talks to Kubeflow Pipelines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "kubeflow"))

from fake_kubeflow import FakeKubeflow


@pytest.fixture
def kubeflow() -> Iterator[FakeKubeflow]:
    """The fake; what it was asked must have been right, unless a test clears `wrong`."""
    fake = FakeKubeflow()
    yield fake
    assert fake.wrong == []


@pytest.fixture
def host(kubeflow: FakeKubeflow) -> Iterator[str]:
    """Its URL."""
    with kubeflow.served() as url:
        yield url
