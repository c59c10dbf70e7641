"""Names for runs and comparisons: sortable by time, unique. Must not know what they name."""

from __future__ import annotations

import secrets
import time


def new_id(prefix: str) -> str:
    """For example `run-0192f3a1b2c3-9f3c1d`: milliseconds since 1970 in hex, then 24 random bits."""
    return f"{prefix}-{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(3)}"
