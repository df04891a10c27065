"""Who made an example: a person, a model, or a person who edited what a model wrote."""

from __future__ import annotations

import re

from components.errors import ConfigError, DataError

HUMAN = "human"
FORMS = "human, model:NAME:VERSION, edited:NAME:VERSION"
# Names as those of pushed models; versions as TensorFlow Serving has them.
_FORM = re.compile(r"human|(?:model|edited):[A-Za-z0-9][A-Za-z0-9._-]*:[A-Za-z0-9._-]+")


def parse(value: object, where: str, column: str) -> str | None:
    """Reads a tag of a source; None where it is empty.

    Raises:
        DataError: it is none of `FORMS`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    tag = value.strip() if isinstance(value, str) else str(value)
    if not _FORM.fullmatch(tag):
        raise DataError(
            f"expected one of {FORMS} in {column!r} at {where}. Received: {value!r}; mend it, or "
            "name the column of such tags in ingest.provenance_column ('' for none)"
        )
    return tag


def check(tag: str) -> str:
    """The tag of a configuration; may be empty.

    Raises:
        ConfigError: it is none of `FORMS`.
    """
    if tag and not _FORM.fullmatch(tag):
        raise ConfigError(f"expected one of {FORMS}, or nothing. Received: {tag!r}")
    return tag


def generated(tag: str | None, edited: bool = False) -> bool:
    """Whether a model made it.

    Args:
        tag: of an example.
        edited: whether what a person edited counts as well.
    """
    return bool(tag) and str(tag).startswith(("model:", "edited:") if edited else "model:")
