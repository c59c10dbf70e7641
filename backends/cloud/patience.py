"""How long to wait for a server. A value: must not wait."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backends.egress import CONNECT_S, READ_S


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a connection, between two bytes, without any text, and for the usage after the end.

    `thinking_s` stands for the two in the middle where a model thinks before it writes, which many do without sending
    a byte; `say_thinking_s` is when that is said.
    """

    connect_s: float = CONNECT_S
    read_s: float = READ_S
    silence_s: float = 120.0
    tail_s: float = 5.0
    thinking_s: float = 300.0
    say_thinking_s: float = 10.0

    def for_thinking(self) -> Patience:
        return replace(self, read_s=max(self.read_s, self.thinking_s), silence_s=max(self.silence_s, self.thinking_s))
