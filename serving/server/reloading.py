"""`--model_config_file`: read again and again, so that an edit takes effect without a restart."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from serving.server.config import read_model_config
from serving.server.errors import ConfigError, StatusError
from serving.server.models import ModelManager

logger = logging.getLogger(__name__)


class ConfigFile:
    """Hands the file's content to the manager in a thread of its own.

    It does so at every turn, whether the file has changed or not, as TensorFlow Serving does: a
    configuration that came by HandleReloadConfigRequest holds until the next turn.
    """

    def __init__(self, file: Path, models: ModelManager, poll_seconds: float) -> None:
        """Nothing is read before `start`.

        Args:
            file: a ModelServerConfig in text format.
            models: what it configures.
            poll_seconds: pause between readings; 0 or less never reads.
        """
        self._file = file
        self._models = models
        self._poll_seconds = poll_seconds
        self._told = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="config-file", daemon=True)

    def start(self) -> None:
        """Starts to read it again and again."""
        if self._poll_seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._models.configure(read_model_config(self._file))
                self._told = ""
            except ConfigError as error:
                self._tell(str(error))
            except StatusError as error:
                self._tell(error.message)
            except Exception:
                logger.exception("could not read %s again", self._file)

    def _tell(self, reason: str) -> None:
        """Logs a refusal, though not again at every turn."""
        if reason != self._told:
            logger.error("%s is refused, and the old config goes on: %s", self._file, reason)
            self._told = reason
