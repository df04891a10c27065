"""Dynamic batching: Predict calls that arrive together run through the graph together.

What it does is TensorFlow Serving's batching, the unpleasant parts included, so that a parameter
file that works here works there:

- All inputs of a request must have the same first dimension. `generate` itself lets sampling
  parameters of length 1 stand beside several prompts; with batching on such a request is refused
  with INVALID_ARGUMENT, so send one value for every prompt.
- `pad_variable_length_inputs` fills shorter requests up with a value of their own, which suits
  some models and falsifies others (the tokens of `generate_chunk` among them: leave it off).
- A request that the graph refuses takes all others of its batch down with the same error.

While it waits a request holds one of the server's threads, so set --grpc_max_threads to at least
twice `max_batch_size`. For `generate` of the d=128 text model on two cores (16 tokens, batches of
at most 16, 5 ms of waiting) `benchmarks/batching.py` saw 0.9 times the calls a second with one
client, 1.2 times with 4, and 1.9 times with 16.

Three differences: only signatures whose inputs and outputs all have an unknown first dimension are
batched (TensorFlow Serving takes any and fails at run time). A request whose deadline passes in
the queue is dropped from its batch. And requests that differ in other dimensions go to different
batches, where TensorFlow Serving without padding refuses all of a batch: streams call
`generate_chunk` with the tokens they have so far, each with another number of them, and must not
fail each other. `max_enqueued_batches` holds for each such shape by itself.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from serving.server.batching_parameters import BatchingParameters
from serving.server.errors import (
    StatusError,
    deadline_exceeded,
    failed_precondition,
    invalid_argument,
    unavailable,
    unexpected,
)

if TYPE_CHECKING:
    from serving.server.signature import Signature

Array = Any
Arrays = dict[str, Array]
# What requests of one batch have in common.
Shapes = dict[str, tuple[int, ...]]


class BatchMetrics(Protocol):
    """What is told about every batch; `ServerMetrics` is one."""

    def batch(self, model: str, size: int) -> None:
        """A batch of so many rows, padding not counted, has run."""


@dataclasses.dataclass(slots=True, eq=False)
class _Task:
    """One request on its way through a batch."""

    arrays: Mapping[str, Array]
    size: int
    deadline: float | None
    done: threading.Event = dataclasses.field(default_factory=threading.Event)
    outputs: dict[str, Any] | None = None
    error: StatusError | None = None


@dataclasses.dataclass(slots=True, eq=False)
class _Batch:
    """Requests that will run together.

    Attributes:
        due: monotonic time from which it runs however few rows it has.
        shapes: the sizes of the inputs without the first; with padding, how many there are.
        full: no further request goes into it.
    """

    due: float
    shapes: Shapes
    size: int = 0
    full: bool = False
    tasks: list[_Task] = dataclasses.field(default_factory=list)


class _Queue:
    """The batches of one signature; one of each shape is open. Guarded by the batcher's lock."""

    def __init__(self, signature: Signature, model: str) -> None:
        self.signature = weakref.ref(signature)
        self.model = model
        self.batches: collections.deque[_Batch] = collections.deque()


class Batcher:
    """Joins requests into batches and runs those on threads of its own."""

    def __init__(
        self, parameters: BatchingParameters, *, metrics: BatchMetrics | None = None
    ) -> None:
        """Starts the threads; they end with the process.

        Args:
            parameters: sizes, waits and limits.
            metrics: is told of every batch.
        """
        self._parameters = parameters
        self._metrics = metrics
        self._changed = threading.Condition()
        self._queues: weakref.WeakKeyDictionary[Signature, _Queue] = weakref.WeakKeyDictionary()
        # Queues with something to run; taking turns keeps one signature from starving another.
        self._active: collections.deque[_Queue] = collections.deque()
        for index in range(parameters.num_batch_threads):
            threading.Thread(target=self._work, name=f"batch-{index}", daemon=True).start()

    def run(
        self,
        signature: Signature,
        arrays: Mapping[str, Array],
        deadline: float | None,
        model: str = "",
    ) -> dict[str, Any]:
        """Runs a request within a batch; tensors by output name, its own rows of them.

        Args:
            signature: the one to call; it must be batchable.
            arrays: checked inputs by name.
            deadline: monotonic time after which the caller no longer waits.
            model: its name, for the metrics.

        Raises:
            StatusError: the request cannot be batched, the queue is full, the deadline has passed,
                or the graph refused the batch.
        """
        size = _rows(arrays)
        if size == 0:
            return signature.compute(arrays)
        if size > self._parameters.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size "
                f"{self._parameters.max_batch_size}"
            )
        task = _Task(arrays, size, deadline)
        with self._changed:
            self._enqueue(signature, model, task)
            self._changed.notify()
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not task.done.wait(left):
            raise deadline_exceeded()
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _enqueue(self, signature: Signature, model: str, task: _Task) -> None:
        queue = self._queues.get(signature)
        if queue is None:
            queue = self._queues[signature] = _Queue(signature, model)
        shapes, limit = self._shapes(task.arrays), self._parameters.max_enqueued_batches
        largest = self._parameters.max_batch_size
        alike = [batch for batch in queue.batches if batch.shapes == shapes]
        if not alike or alike[-1].size + task.size > largest:
            if len(alike) >= limit:
                raise unavailable(
                    "The batch scheduling queue to which this task was submitted is full; "
                    f"currently {len(alike)} batches enqueued and max_enqueued_batches is {limit}"
                )
            if alike:
                alike[-1].full = True
            if not queue.batches:
                self._active.append(queue)
            timeout = self._parameters.batch_timeout_micros / 1e6
            alike.append(_Batch(time.monotonic() + timeout, shapes))
            queue.batches.append(alike[-1])
        batch = alike[-1]
        batch.tasks.append(task)
        batch.size += task.size
        batch.full = batch.size >= largest

    def _shapes(self, arrays: Mapping[str, Array]) -> Shapes:
        if self._parameters.pad_variable_length_inputs:
            return {name: (array.ndim,) for name, array in arrays.items()}
        return {name: array.shape[1:] for name, array in arrays.items()}

    def _work(self) -> None:
        while True:
            with self._changed:
                while True:
                    ready, wait = self._next()
                    if ready is not None:
                        break
                    self._changed.wait(wait)
            self._run_batch(*ready)
            ready = None

    def _next(self) -> tuple[tuple[_Queue, _Batch] | None, float | None]:
        """The next batch that may run, or how long there will be none unless one fills up."""
        now, due = time.monotonic(), None
        for _ in range(len(self._active)):
            queue = self._active[0]
            ready = next((b for b in queue.batches if b.full or b.due <= now), None)
            if ready is not None:
                queue.batches.remove(ready)
                self._active.popleft()
                if queue.batches:
                    self._active.append(queue)
                return (queue, ready), None
            first = min(batch.due for batch in queue.batches)
            due = first if due is None else min(due, first)
            self._active.rotate(-1)
        return None, None if due is None else due - now

    def _run_batch(self, queue: _Queue, batch: _Batch) -> None:
        now = time.monotonic()
        tasks = [task for task in batch.tasks if task.deadline is None or task.deadline > now]
        try:
            signature = queue.signature()
            if tasks and signature is not None:
                self._compute(signature, tasks)
                if self._metrics is not None:
                    self._metrics.batch(queue.model, sum(task.size for task in tasks))
        except StatusError as error:
            for task in tasks:
                task.error = error
        except Exception as error:
            for task in tasks:
                task.error = unexpected(error)
        finally:
            for task in batch.tasks:
                if task.outputs is None and task.error is None:
                    task.error = deadline_exceeded()
                task.done.set()

    def _compute(self, signature: Signature, tasks: Sequence[_Task]) -> None:
        """Merges the inputs, runs the graph, and gives every task its rows of the outputs."""
        total = sum(task.size for task in tasks)
        merged = _merge(tasks)
        step = self._parameters.max_execution_batch_size or total
        pieces = []
        for start in range(0, total, step):
            piece = {name: array[start : start + step] for name, array in merged.items()}
            pieces.append(self._execute(signature, piece, min(step, total - start)))
        whole = {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}
        start = 0
        for task in tasks:
            rows = slice(start, start + task.size)
            task.outputs = {name: value[rows] for name, value in whole.items()}
            start += task.size

    def _execute(self, signature: Signature, rows: Mapping[str, Array], count: int) -> Arrays:
        """Runs rows, padded with copies of the last one to the next allowed size."""
        allowed = self._parameters.allowed_batch_sizes
        size = next((size for size in allowed if size >= count), count)
        if size > count:
            rows = {
                name: _joined([array, np.repeat(array[-1:], size - count, 0)])
                for name, array in rows.items()
            }
        outputs = signature.compute(rows)
        for value in outputs.values():
            if np.ndim(value) == 0:
                raise failed_precondition("Batched output tensor has 0 dimensions")
            if len(value) != size:
                raise failed_precondition(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors"
                )
        return {name: value[:count] for name, value in outputs.items()}


def _joined(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _rows(arrays: Mapping[str, Array]) -> int:
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) != 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _merge(tasks: Sequence[_Task]) -> Mapping[str, Array]:
    """The rows of all tasks; only with padding are there several shapes here."""
    if len(tasks) == 1:
        return tasks[0].arrays
    merged = {}
    for name in tasks[0].arrays:
        arrays = [task.arrays[name] for task in tasks]
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1:
            largest = tuple(map(max, zip(*shapes, strict=True)))
            arrays = [_padded(array, largest) for array in arrays]
        merged[name] = np.concatenate(arrays)
    return merged


def _padded(array: Array, largest: tuple[int, ...]) -> Array:
    """The array up to these sizes, filled with its own first value as TensorFlow Serving does."""
    if array.shape[1:] == largest:
        return array
    if array.size == 0:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    whole = np.full((len(array), *largest), array.flat[0], array.dtype)
    whole[tuple(slice(size) for size in array.shape)] = array
    return whole
