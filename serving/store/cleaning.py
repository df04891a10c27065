"""Makes any text and number storable in every database, alike."""

from __future__ import annotations

import math
from typing import Any


def storable(value: Any) -> Any:
    """The value without what PostgreSQL cannot hold.

    U+0000 and halves of surrogate pairs become U+FFFD; NaN and infinities become None.
    """
    if isinstance(value, str):
        whole = value.encode("utf-8", "surrogatepass")
        return whole.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    return value
