"""The train step: a decoder learns from tokenized text, resumes if killed, and is exported."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import artifacts
from components.errors import DataError, TrainingError
from components.train.learners import distribution_of, make_learner
from components.train.options import TrainOptions
from components.train.speed import Speed
from components.versions import installed_version

if TYPE_CHECKING:
    import numpy as np

    from components.train.checkpoint import Arrays, Checkpoint
    from components.train.decoder import Decoder
    from components.train.distribution import Distribution
    from components.train.text_previews import TextPreviews

EVALUATION_TOKENS = 16_384
_SECONDS_BETWEEN_LINES = 0.5
# Nor does it matter to the weights who shares the work: more workers may go on where fewer stopped.
_NOT_PART_OF_A_RUN = {
    "checkpoint_seconds",
    "export_xla",
    "distribution",
    "model_parallel",
    "worker_timeout",
}


def run(
    transformed: Path,
    graph: Path,
    options: TrainOptions,
    checkpoints: Path,
    model: Path,
    logs: Path,
) -> dict[str, float]:
    """Trains on the transformed examples, and writes the model and its exports.

    Of many workers each calls this, and the chief alone writes.

    Args:
        transformed: a TransformedExamples folder.
        graph: the TransformGraph folder that goes inside the exported model.
        options: the model's shape and how it is trained.
        checkpoints: folder where a killed run finds its state; emptied of it on success.
        model: where the Model folder is written.
        logs: where TensorBoard's event files are written.

    Returns:
        Figures: loss, eval_loss (nats per token), steps, parameters, tokens_per_second, seconds.

    Raises:
        DataError: the data has not even one window of the context's length.
        TrainingError: the loss became infinite or not a number.
        WorkerLostError: another worker is gone.
    """
    examples = artifacts.TransformedExamples(transformed)
    written = artifacts.Model(model)
    if options.distribution == "model_parallel":
        from components.train.mesh_run import train_on_mesh

        trained = train_on_mesh(examples, options, checkpoints, logs, graph)
        _write(trained.model, trained.card, options, graph, written)
        trained.checkpoint.remove()
        return figures_of(trained.card)
    training = Training(examples, options, checkpoints, logs, graph)
    training.run()
    card = training.card()
    if training.chief:
        _write(training.learner.model, card, options, graph, written)
    # Whoever is lost before this, all start again, and the checkpoint is still there.
    training.learner.finish()
    if training.chief:
        training.checkpoint.remove()
    return figures_of(card)


def figures_of(card: dict[str, Any]) -> dict[str, float]:
    """What the step tells of a trained model, by the model's card."""
    figures = ("loss", "eval_loss", "steps", "parameters", "tokens_per_second", "seconds")
    return {name: float(card[name]) for name in figures}


def _write(
    model: Decoder,
    card: dict[str, Any],
    options: TrainOptions,
    graph: Path,
    written: artifacts.Model,
) -> None:
    written.path.mkdir(parents=True, exist_ok=True)
    model.save(written.keras_path)
    _export(model.numpy_weights(), options, graph, written)
    written.write_card(card)


def _export(
    weights: dict[str, np.ndarray[Any, Any]],
    options: TrainOptions,
    graph: Path,
    model: artifacts.Model,
) -> None:
    from components.train.export import export_text

    print("progress: exporting the model for serving", flush=True)
    export_text(weights, heads=options.heads, graph=graph, destination=model.saved_model)
    if options.export_xla:
        destination = model.saved_model_xla
        export_text(weights, heads=options.heads, graph=graph, destination=destination, xla=True)


def fingerprint(examples: artifacts.TransformedExamples, options: TrainOptions) -> str:
    """Identifies a run: the same data, code, and options that matter to the weights."""
    chosen = options.model_dump(exclude=_NOT_PART_OF_A_RUN)
    code = artifacts.digest_files(Path(__file__).parent, skip=["__pycache__", "families"])
    content = json.dumps([chosen, code, examples.statistics()], sort_keys=True)
    digest = hashlib.sha256(content.encode())
    for split in (artifacts.TRAIN, artifacts.EVAL):
        for shard in examples.shards(split):
            digest.update(artifacts.digest_files(shard).encode())
    return digest.hexdigest()[:16]


class Training:
    """One run: it starts or resumes, learns, watches the held-out loss, and keeps the best."""

    def __init__(
        self,
        examples: artifacts.TransformedExamples,
        options: TrainOptions,
        checkpoints: Path,
        logs: Path,
        graph: Path | None = None,
    ) -> None:
        from components.train import windows
        from components.train.checkpoint import Checkpoint, Progress
        from components.train.events import Events

        self.options = options
        distribution = distribution_of(options)
        self.chief = distribution is None or distribution.chief
        shards = examples.shards(artifacts.TRAIN)
        held_out = examples.shards(artifacts.EVAL)
        if not shards or not held_out:
            raise DataError(f"expected TFRecords in train/ and eval/ of {examples.path}")
        self.evaluation = windows.evaluation_batches(
            held_out, options.context, options.batch_size, EVALUATION_TOKENS
        )
        self.checkpoint: Checkpoint = Checkpoint(checkpoints / fingerprint(examples, options))
        stored = self.checkpoint.load()
        self.progress, arrays = stored or (Progress(), {})

        def batches(start: int) -> Iterator[np.ndarray[Any, Any]]:
            return windows.training_batches(
                shards, options.context, options.batch_size, options.seed, start
            )

        vocabulary_size = examples.statistics()["vocabulary_size"]
        if not options.learning_rate:
            self.progress.rate = self.progress.rate or _found_rate(
                vocabulary_size, options, batches(0), distribution
            )
            self.options = options.model_copy(update={"learning_rate": self.progress.rate})
        self.learner = make_learner(vocabulary_size, self.options, distribution)
        self.best = self._resume(arrays)
        self.batches = batches(self.progress.step)
        self.events = Events(logs) if self.chief else None
        self._previews = self._make_previews(graph, logs) if options.preview_every else None
        self._started = time.monotonic() - self.progress.seconds
        self._saved = self._printed = time.monotonic()
        self._speed = Speed(options.batch_size * options.context)

    def _resume(self, arrays: Arrays) -> Arrays:
        """Puts the checkpoint's values in place; returns the rest, the best weights so far."""
        if not self.learner.agree(self.progress.step):
            raise DataError(
                "expected a folder of checkpoints that all workers share. Received: one in which "
                f"this worker finds step {self.progress.step} and another worker another"
            )
        if not arrays:
            return {}
        for name, variable in self.learner.variables():
            variable.assign(arrays.pop(name))
        self.learner.spread_seeds()
        step = self.progress.step
        if step:
            print(f"progress: resuming at step {step}/{self.options.steps}", flush=True)
        return arrays

    def _make_previews(self, graph: Path | None, logs: Path) -> TextPreviews | None:
        if graph is None or self.events is None:
            return None
        from components.train.text_previews import TextPreviews
        from components.transform.load import load_transform

        detokenize = load_transform(graph).detokenize
        return TextPreviews(self.learner.model, detokenize, logs / "previews", self.events)

    def run(self) -> None:
        """Trains until the steps are done or the held-out loss stops falling.

        Raises:
            TrainingError: the loss became infinite or not a number.
            WorkerLostError: another worker is gone.
        """
        options, progress = self.options, self.progress
        while progress.step < options.steps and progress.stale < options.patience:
            loss, norm = (float(value) for value in self.learner.train(next(self.batches)))
            progress.step += 1
            if not math.isfinite(loss):
                raise TrainingError(_diverged(progress.step, loss, options))
            self._speed.add_step()
            if progress.step % options.eval_every == 0 or progress.step == options.steps:
                self._evaluate(loss)
            if self._previews is not None and progress.step % options.preview_every == 0:
                with self.learner.averaged():
                    self._previews.write(progress.step)
                self._speed.restart()
            self._report(loss, norm)
            if time.monotonic() - self._saved >= options.checkpoint_seconds:
                self._save()
        self._save()
        if self.events is not None:
            self.events.close()
        self._restore_best()

    def _evaluate(self, loss: float) -> None:
        progress = self.progress
        self._speed.tokens_per_second()  # remembered: evaluating starts the count anew
        with self.learner.averaged():
            eval_loss = self.learner.evaluate(self.evaluation)
            weights = [variable.numpy() for variable in self.learner.weights()]
        if not math.isfinite(eval_loss):
            raise TrainingError(_diverged(progress.step, eval_loss, self.options))
        seconds = time.monotonic() - self._started
        progress.history.append(
            {"step": progress.step, "seconds": seconds, "loss": loss, "eval_loss": eval_loss}
        )
        if eval_loss < progress.best_loss:
            progress.best_loss, progress.stale = eval_loss, 0
            self.best = {f"best.{index}": value for index, value in enumerate(weights)}
        else:
            progress.stale += 1
        if self.events is not None:
            self.events.write(progress.step, {"eval_loss": eval_loss})
        self._speed.restart()

    def _report(self, loss: float, norm: float) -> None:
        now = time.monotonic()
        step, last = self.progress.step, self.progress.step == self.options.steps
        if self.events is None or (now - self._printed < _SECONDS_BETWEEN_LINES and not last):
            return
        self._printed = now
        speed = self._speed.tokens_per_second()
        rate = float(self.learner.schedule(step))
        scalars = {"loss": loss, "learning_rate": rate, "gradient_norm": norm}
        self.events.write(step, {**scalars, "tokens_per_second": speed})
        history = self.progress.history
        held_out = f"eval loss {history[-1]['eval_loss']:.3f}, " if history else ""
        tokens_left = (self.options.steps - step) * self._speed.tokens
        left = f"{tokens_left / speed:.0f} s left" if speed else "starting"
        print(
            f"progress: step {step}/{self.options.steps}, loss {loss:.3f}, {held_out}"
            f"{speed:,.0f} tokens/s, {left}",
            flush=True,
        )

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self._started
        self._saved = time.monotonic()
        if not self.chief:
            return
        arrays = {name: variable.numpy() for name, variable in self.learner.variables()}
        self.checkpoint.save(self.progress, {**arrays, **self.best})
        self._saved = time.monotonic()
        self._speed.restart()

    def _restore_best(self) -> None:
        for index, variable in enumerate(self.learner.weights()):
            variable.assign(self.best[f"best.{index}"])

    def card(self) -> dict[str, Any]:
        """What `model.json` says about the trained model."""
        progress, tokens = self.progress, self._speed.tokens
        seconds = progress.seconds
        best = min(progress.history, key=lambda entry: entry["eval_loss"])
        packages = ("tensorflow", "keras", "numpy")
        return {
            "family": "decoder-only Transformer",
            "options": self.options.model_dump(),
            "vocabulary_size": self.learner.model.shape_config["vocabulary_size"],
            "precision": self.learner.model.dtype_policy.name,
            "parameters": self.learner.model.count_params(),
            "steps": progress.step,
            "best_step": best["step"],
            "loss": best["loss"],
            "eval_loss": best["eval_loss"],
            "tokens_seen": progress.step * tokens,
            "tokens_per_second": progress.step * tokens / seconds,
            "seconds": seconds,
            "history": progress.history,
            "versions": {name: installed_version(name) for name in packages},
        }


def _found_rate(
    vocabulary_size: int,
    options: TrainOptions,
    batches: Iterator[np.ndarray[Any, Any]],
    distribution: Distribution | None,
) -> float:
    """The peak rate by a range test on a model of its own, which is thrown away."""
    import keras

    from components.train import rate_search

    print("progress: looking for a learning rate", flush=True)
    places = list(range(1, len(rate_search.RATES)))
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(places, rate_search.RATES)
    learner = make_learner(vocabulary_size, options, distribution, schedule)
    found = rate_search.search(lambda step, rate: float(learner.train(next(batches))[0]))
    print(f"progress: learning rate {found:.2g}", flush=True)
    return found


def _diverged(step: int, loss: float, options: TrainOptions) -> str:
    return (
        f"expected a finite loss. Received: {loss} at step {step}. "
        f"Lower train.learning_rate (now {options.learning_rate:g}) or train.clip_norm "
        f"(now {options.clip_norm:g}), or raise train.warmup_steps (now {options.warmup_steps})"
    )
