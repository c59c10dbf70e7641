"""How long to wait for a server. A value: must not wait."""

from __future__ import annotations

from dataclasses import dataclass

from backends.egress import CONNECT_S, READ_S


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a connection, between two bytes, without any text, and for the usage after the end."""

    connect_s: float = CONNECT_S
    read_s: float = READ_S
    silence_s: float = 120.0
    tail_s: float = 5.0
