"""The training loop of any family: it starts or resumes, watches, saves, and keeps the best."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from components import artifacts
from components.errors import ConfigError, TrainingError
from components.train.checkpoint import Arrays, Checkpoint, Progress
from components.train.events import Events
from components.train.families.family import Family
from components.train.families.input import ExampleBatches
from components.train.families.learner import FamilyLearner, rate_at
from components.train.families.options import FamilyTrainOptions
from components.train.families.pace import Pace
from components.train.families.previews import Previews
from components.train.families.rate_finder import find_rate
from components.train.families.registry import make_family
from components.train.learner import keep_freed_memory, precision_policy

_SECONDS_BETWEEN_LINES = 0.5
_MOST_LEFT_OUT = 20


class FamilyTraining:
    """One run: it starts or resumes, learns, watches the held-out loss, and keeps the best."""

    def __init__(
        self,
        examples: artifacts.TransformedExamples,
        options: FamilyTrainOptions,
        checkpoint: Path,
        logs: Path,
    ) -> None:
        """Builds the family, and takes up what a killed run left.

        Args:
            examples: what the transform step wrote.
            options: the family and how it is trained.
            checkpoint: folder of this very run's checkpoint.
            logs: gets TensorBoard's events, and the previews.

        Raises:
            ConfigError: see `make_family`; or `start_from` is no checkpoint of these networks.
            DataError: a split has no rows, or the family cannot model the data.
        """
        cpu = time.process_time()
        keep_freed_memory()
        self.options = options
        self.examples = ExampleBatches(examples)
        self.precision = precision_policy(options.precision)
        self.family = self._build(self.precision)
        self.learner = FamilyLearner(self.family, options, self.precision == "mixed_float16")
        self.checkpoint = Checkpoint(checkpoint)
        self.progress, self.best, cpu_before = self._resume()
        self.learning_rate = options.learning_rate or self.progress.rate
        self.held_out = self.examples.held_out(options.batch_size)
        self.events = Events(logs)
        statistics = self.examples.statistics
        self.previews = Previews(self.family, statistics, logs / "previews", self.events)
        self.health: list[str] = []
        self.pace = Pace()
        self._cpu_started = cpu - cpu_before
        self._started = time.monotonic() - self.progress.seconds
        self._saved = self._printed = time.monotonic()

    def _build(self, precision: str) -> Family:
        options, before = self.options, keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            return make_family(
                options.family,
                options.family_options,
                self.examples.statistics,
                dropout=options.dropout,
                seed=options.seed,
            )
        finally:
            keras.config.set_dtype_policy(before)

    def _resume(self) -> tuple[Progress, Arrays, float]:
        """Progress, the best weights and the CPU seconds so far of this run or `start_from`."""
        stored, source = self.checkpoint.load(), str(self.checkpoint.path)
        if stored is None and self.options.start_from:
            source = self.options.start_from
            stored = Checkpoint(Path(source).parent).load()
            if stored is None:
                raise ConfigError(
                    "train.start_from: expected a checkpoint.npz that can be read. Received: "
                    f"{source}"
                )
        if stored is None:
            return Progress(), {}, 0.0
        progress, arrays = stored
        cpu = float(arrays.pop("cpu_seconds", 0.0))
        for name, variable in self.learner.variables():
            value = arrays.pop(name, None)
            if value is None or value.shape != tuple(variable.shape):
                raise ConfigError(
                    "train.start_from: expected a checkpoint of the same networks. Received: "
                    f"{source}, whose {name} differs"
                )
            variable.assign(value)
        print(f"progress: resuming at step {progress.step}/{self.options.steps}", flush=True)
        return progress, arrays, cpu

    def run(self) -> None:
        """Trains until steps or CPU seconds are used, or the held-out loss stops falling.

        Raises:
            TrainingError: the loss became infinite or not a number, or gradients did for long.
        """
        self._choose_rate()
        progress, learner = self.progress, self.learner
        batches = self.examples.training(learner.rows, self.options.seed, progress.step)
        # A budget that building the networks used up still gives one step, and its held-out loss.
        finished = bool(progress.history) and self._done()
        while not finished:
            asked = time.monotonic()
            batch = next(batches)
            waited = time.monotonic() - asked
            rate = self._rate()
            values = learner.train(batch, progress.step, rate)
            progress.step += 1
            self.pace.add_step(waited)
            finished = self._after_step(values, rate)
        self._save()
        self._keep_best()
        self.events.close()

    def _choose_rate(self) -> None:
        if self.learning_rate:
            return
        print("progress: looking for a learning rate", flush=True)
        tried = self.examples.training(self.learner.rows, self.options.seed + 1)
        self.learning_rate = self.progress.rate = find_rate(self.learner, tried)
        print(f"progress: found the learning rate {self.learning_rate:.2g}", flush=True)

    def cpu(self) -> float:
        """CPU seconds of training so far, of all cores and all attempts together."""
        return time.process_time() - self._cpu_started

    def _done(self) -> bool:
        options, progress = self.options, self.progress
        spent = options.cpu_seconds > 0 and self.cpu() >= options.cpu_seconds
        stale = self.family.loss_ranks and progress.stale >= options.patience
        return progress.step >= options.steps or spent or stale

    def _rate(self) -> float:
        options, step = self.options, self.progress.step
        share = step / options.steps
        if options.cpu_seconds:
            share = max(share, self.cpu() / options.cpu_seconds)
        return rate_at(share, step, options, self.learning_rate)

    def _after_step(self, values: Any, rate: float) -> bool:
        """Watches, reports and saves where it is time to; whether training is finished."""
        options, step, last = self.options, self.progress.step, self._done()
        evaluates = last or step % options.eval_every == 0
        previews = options.preview_every > 0 and (last or step % options.preview_every == 0)
        speaks = time.monotonic() - self._printed >= _SECONDS_BETWEEN_LINES
        if not (evaluates or previews or speaks):
            return last
        scalars = self.learner.scalars(values)
        self._check()
        if evaluates:
            self._evaluate(scalars[self.learner.loss_name])
        self._report(scalars, rate)
        if previews:
            with self.learner.averaged():
                self.previews.write(step)
        if time.monotonic() - self._saved >= options.checkpoint_seconds:
            self._save()
        self.pace.pause()
        # Never ends on a step that was not evaluated.
        return last or (evaluates and self._done())

    def _check(self) -> None:
        """Raises TrainingError where updates had to be left out."""
        bad_loss_step, left_out = self.learner.trouble()
        if bad_loss_step >= 0 and not self.learner.float16:
            what = f"expected a finite loss. Received: one that is not, at step {bad_loss_step + 1}"
        elif left_out >= _MOST_LEFT_OUT:
            what = f"expected finite gradients. Received: {left_out} updates in a row without"
        else:
            return
        raise TrainingError(f"{what}. {self._advice()}")

    def _advice(self) -> str:
        options = self.options
        advice = (
            f"Lower train.learning_rate (now {self.learning_rate:g}) or train.clip_norm "
            f"(now {options.clip_norm:g}), or raise train.warmup_steps (now {options.warmup_steps})"
        )
        if not self.checkpoint.path.is_file():
            return advice
        return (
            f"{advice}, and set train.start_from={self.checkpoint.path} to go on from the last "
            "good checkpoint"
        )

    def _evaluate(self, loss: float) -> None:
        progress = self.progress
        with self.learner.averaged():
            found = self.learner.evaluate(self.held_out)
            eval_loss = found[self.learner.loss_name]
            if not math.isfinite(eval_loss):
                raise TrainingError(
                    f"expected a finite held-out loss. Received: {eval_loss} at step "
                    f"{progress.step}. {self._advice()}"
                )
            seconds = time.monotonic() - self._started
            entry = {"step": progress.step, "seconds": seconds, "cpu_seconds": self.cpu()}
            progress.history.append({**entry, "loss": loss, "eval_loss": eval_loss})
            if eval_loss < progress.best_loss:
                progress.best_loss, progress.stale = eval_loss, 0
                if self.family.loss_ranks:
                    weights = self.learner.weights()
                    self.best = {f"best.{i}": weight.numpy() for i, weight in enumerate(weights)}
            else:
                progress.stale += 1
        self.events.write(
            progress.step, {f"held_out/{name}": value for name, value in found.items()}
        )
        trouble = self.family.health(found)
        if trouble:
            self.health.append(f"step {progress.step}: {trouble}")
            print(f"progress: warning: {trouble}", flush=True)

    def _report(self, scalars: dict[str, float], rate: float) -> None:
        self._printed = time.monotonic()
        options, step = self.options, self.progress.step
        speed, share = self.pace.steps_per_second(), self.pace.input_share()
        others = {"learning_rate": rate, "steps_per_second": speed, "input_share": share}
        self.events.write(step, {**scalars, **others})
        history = self.progress.history
        held_out = f"eval loss {history[-1]['eval_loss']:.4g}, " if history else ""
        left = "starting"
        if speed:
            seconds = (options.steps - step) / speed
            if options.cpu_seconds:
                spent = self.cpu()
                elapsed = time.monotonic() - self._started
                seconds = min(seconds, (options.cpu_seconds - spent) * elapsed / spent)
            left = f"{max(0.0, seconds):.0f} s left"
        print(
            f"progress: step {step}/{options.steps}, loss {scalars[self.learner.loss_name]:.4g}, "
            f"{held_out}{speed:.1f} steps/s, input {share:.1%}, {left}",
            flush=True,
        )

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self._started
        arrays = {name: variable.numpy() for name, variable in self.learner.variables()}
        arrays["cpu_seconds"] = np.asarray(self.cpu())
        self.checkpoint.save(self.progress, {**arrays, **self.best})
        self._saved = time.monotonic()

    def _keep_best(self) -> None:
        """Leaves the networks with the best averaged weights, or the last where none is best."""
        weights = self.learner.weights()
        if self.best:
            for index, variable in enumerate(weights):
                variable.assign(self.best[f"best.{index}"])
        elif self.options.ema:
            average = self.learner.average
            for variable, value in zip(average.variables, average.averages, strict=True):
                variable.assign(value)

    def portable_family(self) -> Family:
        """The trained family, computing in float32 as every server can."""
        if self.precision == "float32":
            return self.family
        family = self._build("float32")
        for name, network in family.networks().items():
            network.set_weights(self.family.networks()[name].get_weights())
        return family
