"""A text model as a server sees it: the exported SavedModel, called through its signatures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.errors import ModelError

SIGNATURES = ("generate", "score", "tokenize")
ONE_REQUEST_TOKENS = 32
_SCORE_BATCH = 128  # Many at once: the model packs windows of one length together.
_GENERATE_BATCH = 64
_SECONDS_BETWEEN_LINES = 2.0


@dataclasses.dataclass(frozen=True)
class Scores:
    """What texts cost under a model.

    Attributes:
        nll: float64 [texts], nats of each text and its end.
        num_tokens: int64 [texts], the end included.
    """

    nll: npt.NDArray[np.float64]
    num_tokens: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the next token is drawn."""

    temperature: float
    top_k: int
    top_p: float


@dataclasses.dataclass(frozen=True)
class Generated:
    """Continuations of prompts and how fast they came.

    Attributes:
        texts: the continuations; bytes that are not UTF-8 show as U+FFFD.
        num_tokens: new tokens of each, the end not counted.
        logprobs: nats of each under the unmodified distribution.
        seconds: wall time of all calls.
    """

    texts: list[str]
    num_tokens: list[int]
    logprobs: list[float]
    seconds: float


class ServedModel:
    """A loaded SavedModel with the signatures `generate`, `score` and `tokenize`."""

    def __init__(self, path: Path) -> None:
        """Loads the SavedModel at `path`.

        Raises:
            ModelError: there is none, it cannot be loaded, or it lacks a signature.
        """
        import tensorflow as tf

        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"expected a SavedModel at {path}. Received: no saved_model.pb there")
        try:
            self._loaded: Any = tf.saved_model.load(str(path))
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"expected a readable SavedModel at {path}. Received: {error}"
            ) from None
        offered = sorted(self._loaded.signatures)
        missing = [name for name in SIGNATURES if name not in offered]
        if missing:
            raise ModelError(
                f"expected the signatures {', '.join(SIGNATURES)} in the SavedModel at {path}. "
                f"Received: {', '.join(offered) or 'none'}"
            )

    def score(self, texts: Sequence[str], name: str = "score") -> Scores:
        """Scores texts in batches of similar length; the order of the result is that of `texts`.

        Raises:
            ModelError: a score is not finite.
        """
        import tensorflow as tf

        encoded = [text.encode() for text in texts]
        by_length = np.argsort([len(text) for text in encoded], kind="stable")
        nll = np.zeros(len(encoded))
        num_tokens = np.zeros(len(encoded), np.int64)
        signature = self._loaded.signatures["score"]
        last_line = time.monotonic()
        for start in range(0, len(encoded), _SCORE_BATCH):
            rows = by_length[start : start + _SCORE_BATCH]
            found = signature(text=tf.constant([encoded[row] for row in rows]))
            nll[rows] = found["nll"].numpy()
            num_tokens[rows] = found["num_tokens"].numpy()
            if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                print(f"progress: {name} {start + len(rows)} of {len(encoded)} texts", flush=True)
        broken = int(np.count_nonzero(~np.isfinite(nll)))
        if broken:
            raise ModelError(
                f"expected finite scores from the model. Received: {broken} of {len(encoded)} that "
                "are not; its training diverged: train again with a lower learning rate"
            )
        return Scores(nll, num_tokens)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the end not counted."""
        import tensorflow as tf

        found = self._loaded.signatures["tokenize"](
            text=tf.constant([text.encode() for text in texts], tf.string)
        )
        counts: list[int] = found["num_tokens"].numpy().tolist()
        return counts

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: Sequence[int],
        seeds: Sequence[int],
        settings: Settings,
    ) -> Generated:
        """Continues every prompt, each with its own limit and seed."""
        import tensorflow as tf

        signature = self._loaded.signatures["generate"]
        made = Generated([], [], [], 0.0)
        seconds = 0.0
        for start in range(0, len(prompts), _GENERATE_BATCH):
            rows = slice(start, start + _GENERATE_BATCH)
            inputs = {
                "prompt": tf.constant([prompt.encode() for prompt in prompts[rows]]),
                "max_new_tokens": tf.constant(list(max_new_tokens[rows]), tf.int32),
                "temperature": tf.constant([settings.temperature], tf.float32),
                "top_k": tf.constant([settings.top_k], tf.int32),
                "top_p": tf.constant([settings.top_p], tf.float32),
                "seed": tf.constant(list(seeds[rows]), tf.int64),
            }
            begun = time.perf_counter()
            found = signature(**inputs)
            made.texts.extend(text.decode(errors="replace") for text in found["text"].numpy())
            seconds += time.perf_counter() - begun
            made.num_tokens.extend(found["num_tokens"].numpy().tolist())
            made.logprobs.extend(found["logprob"].numpy().tolist())
        return dataclasses.replace(made, seconds=seconds)

    def one(self, seed: int) -> None:
        """Answers one request: a text of at most `ONE_REQUEST_TOKENS` tokens from the start."""
        self.generate([""], [ONE_REQUEST_TOKENS], [seed], Settings(1.0, 0, 1.0))
