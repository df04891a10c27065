"""What lies under base paths: the versions that a server could load, looked up again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from serving.server.config import ModelConfig

logger = logging.getLogger(__name__)

_LARGEST = 2**63 - 1
REMOTE = ("gs://", "s3://")

Report = Callable[[ModelConfig, dict[int, str]], None]


def complete_versions(base_path: str) -> dict[int, str] | None:
    """Numeric folders that hold a SavedModel, by version.

    Other names and folders without a saved_model.pb (half-written ones) are passed over. A folder
    that cannot be looked into counts: loading it says why it cannot be served.

    Args:
        base_path: a local path, a gs:// or an s3:// URI.

    Returns:
        Paths or URIs by version; None where the base path does not exist or cannot be read.
    """
    if base_path.startswith(REMOTE):
        from serving.storage import list_versions

        return dict(list_versions(base_path))
    try:
        entries = sorted(Path(base_path).iterdir())
    except OSError:
        return None
    return {int(entry.name): str(entry) for entry in entries if _is_version(entry)}


def incomplete_versions(base_path: str) -> set[str]:
    """Names of the numeric folders that hold no SavedModel, for a word in the log."""
    if base_path.startswith(REMOTE):
        return set()
    try:
        entries = list(Path(base_path).iterdir())
    except OSError:
        return set()
    return {entry.name for entry in entries if _is_number(entry.name) and not _is_version(entry)}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and int(name) <= _LARGEST


def _is_version(entry: Path) -> bool:
    if not _is_number(entry.name):
        return False
    try:
        return (entry / "saved_model.pb").is_file()
    except OSError:
        return True


class Watcher:
    """Looks at the base paths of all models in a thread of its own."""

    def __init__(
        self, poll_seconds: float, models: Callable[[], Iterable[ModelConfig]], report: Report
    ) -> None:
        """Nothing is looked at before `start`.

        Args:
            poll_seconds: pause between looks; at 0 it looks once, and once more after every
                `look`; below 0 never.
            models: what is configured at the moment.
            report: is told the versions of a model after every look that succeeded.
        """
        self._poll_seconds = poll_seconds
        self._models = models
        self._report = report
        self._wake = threading.Event()
        self._stopping = False
        self._told: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="base-paths", daemon=True)

    def start(self) -> None:
        """Starts to look, unless `poll_seconds` says never."""
        if self._poll_seconds >= 0:
            self._thread.start()

    def look(self) -> None:
        """Asks for a look now, since the configuration has changed."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread after the look under way."""
        self._stopping = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            for model in self._models():
                try:
                    self._look_at(model)
                except Exception as error:
                    # The watcher must outlive a surprise: without it no version would come.
                    reason = " ".join(str(error).split()) or type(error).__name__
                    self._tell(model, f"could not look into {model.base_path}: {reason}")
            self._wake.wait(self._poll_seconds or None)
            self._wake.clear()

    def _look_at(self, model: ModelConfig) -> None:
        found = complete_versions(model.base_path)
        self._tell(model, _remark(model, found))
        # None is not the same as empty: storage that is away for a moment unloads nothing.
        if found is not None:
            self._report(model, found)

    def _tell(self, model: ModelConfig, message: str) -> None:
        """Logs what is amiss, though not again at every look."""
        if message and self._told.get(model.name) != message:
            logger.warning("%s", message)
        self._told[model.name] = message


def _remark(model: ModelConfig, found: dict[int, str] | None) -> str:
    """What is amiss with a base path; "" where nothing is."""
    if found is None:
        return (
            f"Could not find base path {model.base_path} for servable {model.name}: waiting for "
            "it; versions already loaded go on serving"
        )
    remarks = []
    if not found:
        remarks.append(
            f"No versions of servable {model.name} found under base path {model.base_path}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    if partial := incomplete_versions(model.base_path):
        names = ", ".join(sorted(partial))
        remarks.append(f"{model.name}: passed over without a saved_model.pb: {names}")
    if missing := sorted((model.policy.versions or frozenset()) - found.keys()):
        names = ", ".join(map(str, missing))
        remarks.append(
            f"{model.name}: versions asked for by the version policy and not found: {names}"
        )
    return "; ".join(remarks)
