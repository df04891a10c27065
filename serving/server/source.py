"""What lies under a base path: the versions that a server could load."""

from __future__ import annotations

from pathlib import Path


def complete_versions(base_path: Path) -> dict[int, Path] | None:
    """Numeric folders that hold a SavedModel, by version.

    Other names and folders without a saved_model.pb (half-written ones) are passed over.

    Returns:
        None where the base path does not exist or cannot be read.
    """
    try:
        entries = list(base_path.iterdir())
    except OSError:
        return None
    numbered = [entry for entry in entries if entry.name.isascii() and entry.name.isdecimal()]
    return {int(entry.name): entry for entry in numbered if (entry / "saved_model.pb").is_file()}
