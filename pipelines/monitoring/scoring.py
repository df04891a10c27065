"""Scores texts that people edited with the model that is served, over gRPC or from its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.errors import ServingError

_BATCH = 32


def score(
    texts: Sequence[str], *, address: str, model: str, version: int | None, saved_model: Path | None
) -> list[float]:
    """Nats of every text under a version of a model.

    Args:
        texts: what to score.
        address: HOST:PORT of the model server; '' to load the version's files instead.
        model: its name.
        version: which one; None for the newest served.
        saved_model: folder of the version.

    Raises:
        ServingError: the server refused, or cannot be reached.
        ModelError: the files are no model that scores texts.
    """
    if not address:
        from components.evaluate.served_model import ServedModel

        assert saved_model is not None
        return [float(nll) for nll in ServedModel(saved_model).score(texts).nll]
    from serving.client import Client, ClientError

    found: list[float] = []
    try:
        with Client(address, model=model) as client:
            for start in range(0, len(texts), _BATCH):
                part = list(texts[start : start + _BATCH])
                found += [one.nll for one in client.score(part, version=version)]
    except ClientError as error:
        raise ServingError(str(error)) from None
    return found
