"""Colours, type and spacing of an answer. Must not know text, or where the theme comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from PySide6.QtGui import QColor

Colour = str | QColor

GRID_PX = 4
"""Every height and gap is a multiple of this."""

SYNTAX_GROUPS = ("keyword", "name", "function", "class", "builtin", "decorator", "string", "number", "comment", "error")
"""The keys that AnswerStyle.syntax may hold; a group without a colour is painted as plain code."""

_LIGHT_SYNTAX = {
    "keyword": "#8a2f8f",
    "function": "#1a56b0",
    "class": "#1a56b0",
    "builtin": "#0a6a78",
    "decorator": "#7a5200",
    "string": "#226b38",
    "number": "#9c4310",
    "comment": "#68707c",
}
_DARK_SYNTAX = {
    "keyword": "#d3a0e8",
    "function": "#8cb8f7",
    "class": "#8cb8f7",
    "builtin": "#74c7d0",
    "decorator": "#dcbc74",
    "string": "#9fcf94",
    "number": "#eda97f",
    "comment": "#8b95a3",
}


@dataclass(frozen=True, slots=True)
class AnswerStyle:
    """How an answer looks. An empty font family means the app's own, or the system's fixed one."""

    text: Colour = "#181c23"
    muted: Colour = "#565f6d"
    background: Colour = "#ffffff"
    link: Colour = "#2a56d8"
    selection: Colour = "#cddafc"
    selection_text: Colour = "#181c23"
    code_background: Colour = "#f5f6f8"
    code_border: Colour = "#e3e6eb"
    code_text: Colour = "#181c23"
    inline_code_background: Colour = "#eceef2"
    quote_bar: Colour = "#cfd4dc"
    quote_text: Colour = "#565f6d"
    table_header: Colour = "#f5f6f8"
    table_rule: Colour = "#e3e6eb"
    table_header_rule: Colour = "#bcc3cd"
    rule: Colour = "#dfe2e8"
    body_family: str = ""
    body_size_pt: float = 10.5
    mono_family: str = ""
    mono_size_pt: float = 9.5
    margin_px: int = 16
    syntax: Mapping[str, Colour] = field(default_factory=lambda: MappingProxyType(_LIGHT_SYNTAX))


LIGHT = AnswerStyle()
DARK = AnswerStyle(
    text="#e7eaef",
    muted="#a3acb9",
    background="#1a1e25",
    link="#86a4ff",
    selection="#34497f",
    selection_text="#ffffff",
    code_background="#13161b",
    code_border="#2c333d",
    code_text="#e1e5eb",
    inline_code_background="#2a303a",
    quote_bar="#434c59",
    quote_text="#a3acb9",
    table_header="#20252d",
    table_rule="#2c333d",
    table_header_rule="#4b5563",
    rule="#353d48",
    syntax=MappingProxyType(_DARK_SYNTAX),
)
