"""ModelService's calls over messages: the status of models, and a new configuration."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from serving.server.errors import StatusError, invalid_argument

if TYPE_CHECKING:
    from serving.server.models import ModelManager

logger = logging.getLogger(__name__)

_RELOAD_SECONDS = 600.0


class ModelCalls:
    """GetModelStatus and HandleReloadConfigRequest. Every refusal is a StatusError."""

    def __init__(self, models: ModelManager, *, reload_seconds: float = _RELOAD_SECONDS) -> None:
        """Needs no start and no stop.

        Args:
            models: what is asked and configured.
            reload_seconds: how long a reload waits for new models, at most.
        """
        self._models = models
        self._reload_seconds = reload_seconds

    def status(self, request: Any) -> Any:
        """Answers a GetModelStatusRequest: one version, or all from the newest.

        Raises:
            StatusError: nothing is known about that model or version.
        """
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for entry in self._models.states(spec.name, version):
            status = response.model_version_status.add(version=entry.number, state=entry.state)
            if entry.error is not None:
                status.status.error_code = entry.error.code.value[0]
                status.status.error_message = entry.error.message
            else:
                # Set, though it says OK, as TensorFlow Serving has it.
                status.status.error_code = 0
        return response

    def reload(self, request: Any, deadline: float | None = None) -> Any:
        """Answers a ReloadConfigRequest once its new models are available.

        Args:
            request: a ReloadConfigRequest.
            deadline: monotonic time after which the caller no longer waits. The new configuration
                stays in place all the same.

        Raises:
            StatusError: the configuration is refused, and the old one goes on; or it is accepted,
                and a new model failed to load.
        """
        config = request.config
        if config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        try:
            added = self._models.configure(config)
            self._models.wait_for(added, self._patience(deadline))
        except StatusError as error:
            logger.error("reload failed: %s", error.message)
            raise
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response

    def _patience(self, deadline: float | None) -> float:
        """Seconds to wait for: nobody reads the answer of a thread that waits for longer."""
        if deadline is None:
            return self._reload_seconds
        return min(self._reload_seconds, max(0.0, deadline - time.monotonic()))
