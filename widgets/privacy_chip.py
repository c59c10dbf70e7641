"""The chip that says whether anything may leave this machine, with the switch for local only.

Must not know how connections are made or counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from widgets import format as fmt
from widgets import icons, parts, theme
from widgets.popover import Popover

if TYPE_CHECKING:
    from widgets.values import PrivacyState

LOCAL_ONLY_KEY = "Ctrl+Shift+L"
LOCAL_ONLY_TIP = "While this is on, the app refuses every connection to another machine."
UPDATES_TEXT = "Nothing else is contacted: no telemetry, and no update check."


def chip_text(state: PrivacyState) -> str:
    """`Local only, 0 connections since 09:12`, `May contact: api.openai.com` or that every lane is local."""
    counted = f"{fmt.plural(state.connections, 'connection')} since {fmt.clock(state.since)}"
    if state.local_only:
        return f"Local only, {counted}"
    if state.hosts:
        more = f" +{len(state.hosts) - 1}" if len(state.hosts) > 1 else ""
        return f"May contact: {state.hosts[0]}{more}"
    return f"All lanes local, {counted}"


class PrivacyChip(parts.Chip):
    """`local_only_toggled` carries what the person wants; the chip changes when `show_state` says so.

    `contacts_requested`: the person wants to see what was sent.
    """

    local_only_toggled = Signal(bool)
    contacts_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._state: PrivacyState | None = None
        self._popover: Popover | None = None
        self._switch: parts.Switch | None = None
        self.clicked.connect(self._open)
        self.setText("Privacy")
        self.setAccessibleName("Privacy")
        icons.dress(self, "shield-check", "here")

    def show_state(self, state: PrivacyState) -> None:
        self._state = state
        text = chip_text(state)
        self.setText(text)
        self.setAccessibleName(f"Privacy: {text}")
        parts.set_tip(self, f"{text}\nWhat may leave this machine, and the local-only switch ({LOCAL_ONLY_KEY})")
        away = bool(state.hosts) and not state.local_only
        icons.dress(self, "cloud-arrow-up" if away else "shield-check", "away" if away else "here")
        if self._switch is not None and self._popover is not None and self._popover.isVisible():
            self._switch.setChecked(state.local_only)

    def toggle(self) -> None:
        """Ask for the other state of local only, as the switch does."""
        self.local_only_toggled.emit(not (self._state is not None and self._state.local_only))

    def _ask_for_contacts(self) -> None:
        if self._popover is not None:
            self._popover.hide()
        self.contacts_requested.emit()

    def _open(self) -> None:
        if self._popover is not None:
            self._popover.deleteLater()
        self._popover = popover = Popover("Privacy", self)
        self._switch = switch = parts.Switch("Local only", LOCAL_ONLY_TIP)
        switch.setChecked(self._state is not None and self._state.local_only)
        switch.clicked.connect(self.local_only_toggled)
        line = parts.row(parts.label("Local only", "heading"))
        line.addStretch(1)
        line.addWidget(switch)
        popover.body.addLayout(line)
        popover.body.addWidget(parts.label(f"{LOCAL_ONLY_TIP} Its key is {LOCAL_ONLY_KEY}.", tone="muted", wrap=True))
        popover.body.addSpacing(theme.HAIR)
        popover.body.addWidget(parts.rule())
        popover.body.addSpacing(theme.HAIR)
        for text in self._lines():
            popover.body.addWidget(parts.label(text, wrap=True))
        sent = parts.button("Show what was sent…", "Every connection: when, what for, with whom, how many bytes")
        sent.clicked.connect(self._ask_for_contacts)
        end = parts.row(sent)
        end.addStretch(1)
        popover.body.addLayout(end)
        popover.open_below(self)
        switch.setFocus()

    def _lines(self) -> list[str]:
        state = self._state
        if state is None:
            return []
        hosts, counted = ", ".join(state.hosts), fmt.plural(state.connections, "connection")
        if not state.hosts:
            lanes = "No lane chosen now leaves this machine."
        elif state.local_only:
            lanes = f"Local only refuses {hosts}, which lanes chosen now name."
        else:
            lanes = f"Lanes chosen now may contact: {hosts}. They get the prompt you run."
        if state.contacted:
            past = f"Contacted since {fmt.clock(state.since)}: {', '.join(state.contacted)}, {counted}."
        else:
            past = f"{counted} to other machines since {fmt.clock(state.since)}."
        return [lanes, *_why_open(state), past, UPDATES_TEXT]


def _why_open(state: PrivacyState) -> list[str]:
    """Why local only is in force no more, where nobody switched it off and no lane leaves this machine."""
    if state.local_only or state.hosts or not state.asked_for:
        return []
    listed = ", ".join(dict.fromkeys(f"{purpose} ({host})" for purpose, host in state.asked_for))
    return [f"Local only ended when you asked for: {listed}. Nothing else is allowed; switch it on to refuse this too."]
