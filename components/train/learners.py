"""Makes what trains a decoder: on one device, among TensorFlow's replicas, or on JAX's mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.train.options import TrainOptions

if TYPE_CHECKING:
    from components.train.decoder import Decoder
    from components.train.distribution import Distribution
    from components.train.learner import Learner
    from components.train.mesh_learner import MeshLearner


def distribution_of(options: TrainOptions) -> Distribution | None:
    """Who shares the work under TensorFlow; None for one device alone, or for a mesh of JAX's."""
    if options.distribution in ("single", "model_parallel"):
        return None
    from components.train.distribution import make_distribution

    return make_distribution(options.distribution, options.batch_size, options.worker_timeout)


def make_learner(
    vocabulary_size: int,
    options: TrainOptions,
    distribution: Distribution | None,
    schedule: Any = None,
) -> Learner | MeshLearner:
    """A new decoder of the options' shape, and what trains it, alone or among replicas.

    With distribution=model_parallel Keras has to have been imported with its JAX backend.
    """
    if options.distribution == "model_parallel":
        from components.train.mesh_learner import MeshLearner

        return MeshLearner(vocabulary_size, options, schedule)
    from components.train.distributed_learner import DistributedLearner
    from components.train.learner import Learner, keep_freed_memory, precision_policy

    keep_freed_memory()
    policy = precision_policy(options.precision)
    if distribution is None:
        model = make_decoder(vocabulary_size, options, policy)
        return Learner(model, options, schedule=schedule)
    with distribution.strategy.scope():
        model = make_decoder(vocabulary_size, options, policy)
        return DistributedLearner(model, options, distribution, schedule=schedule)


def make_decoder(
    vocabulary_size: int, options: TrainOptions, policy: str = "float32", by_head: bool = False
) -> Decoder:
    """A new decoder of the options' shape, with Keras' dtype policy of that name."""
    from components.train.decoder import Decoder

    return Decoder(
        vocabulary_size,
        context=options.context,
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        dropout=options.dropout,
        seed=options.seed,
        by_head=by_head,
        dtype=policy,
    )
