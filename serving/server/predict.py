"""A SavedModel in memory: Predict, Classify, Regress and MultiInference on its signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.server import examples
from serving.server.errors import StatusError, signature_not_found
from serving.server.signature import Signature, wrong_method

if TYPE_CHECKING:
    from serving.server.batching import Batcher

DEFAULT_SIGNATURE = "serving_default"
_SERVE_TAG = "serve"


class LoadedModel:
    """A SavedModel in memory."""

    def __init__(self, path: Path) -> None:
        """Loads and initialises it.

        Raises:
            Exception: whatever TensorFlow raises for a folder that it cannot load.
        """
        # Signatures refer to variables and tables weakly: the object that owns them stays here.
        self._owner = tf.saved_model.load(str(path), tags=[_SERVE_TAG])
        self.signature_defs = _signature_defs(path)
        self.signatures = {
            name: Signature(function, self.signature_defs[name])
            for name, function in self._owner.signatures.items()
        }

    def predict(
        self, request: Any, batcher: Batcher | None = None, deadline: float | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Answers a PredictRequest: the signature's name and TensorProtos by output name.

        Raises:
            StatusError: the request does not fit, or the graph refused it.
        """
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self.signatures.get(name)
        if signature is None:
            raise self._no_signature(name)
        return name, signature.run(request, batcher, deadline)

    def classify(self, request: Any) -> tuple[str, Any]:
        """Answers a ClassificationRequest: the signature's name and a ClassificationResult.

        Raises:
            StatusError: the request or the signature does not fit, or the graph refused it.
        """
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        return name, examples.classify(name, self.signatures, request.input)

    def regress(self, request: Any) -> tuple[str, Any]:
        """Answers a RegressionRequest: the signature's name and a RegressionResult.

        Raises:
            StatusError: the request or the signature does not fit, or the graph refused it.
        """
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        return name, examples.regress(name, self.signatures, request.input)

    def multi_inference(self, request: Any) -> list[tuple[str, Any]]:
        """Answers a MultiInferenceRequest: for every task its signature's name and its result.

        Raises:
            StatusError: a task or its signature does not fit, or the graph refused it.
        """
        return examples.multi_inference(self.signatures, request, DEFAULT_SIGNATURE)

    def _no_signature(self, name: str) -> StatusError:
        definition = self.signature_defs.get(name)
        if definition is None:
            return signature_not_found(name)
        # Initialisers are signatures of the file that nobody may call.
        return wrong_method(definition.method_name)


def _signature_defs(path: Path) -> dict[str, Any]:
    """The SignatureDefs of the graph that is served, by name, as the file has them."""
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in model.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    return {}
