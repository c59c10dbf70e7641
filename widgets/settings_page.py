"""The Settings page: each setting with one sentence. Must not know where settings are kept or applied."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import parts, theme
from widgets.banner import Banner
from widgets.prompt_box import MODES
from widgets.scroll_column import ScrollColumn
from widgets.settings_costs import CostSettings
from widgets.settings_keys import KeySettings
from widgets.settings_models import ModelSettings
from widgets.settings_network import NetworkSettings
from widgets.settings_rows import row, section
from widgets.settings_servers import ServerSettings
from widgets.values import SettingsView

WIDTH = 760
THEMES = (
    ("system", "System", "As the desktop is set"),
    ("light", "Light", "Always light"),
    ("dark", "Dark", "Always dark"),
)


class SettingsPage(QWidget):
    """`changed` carries all settings after each change; `show_settings` sets them without a signal.

    The models folder changes by `folder_chosen` (a path), since its models may move with it; servers by the signals
    of `servers`.
    """

    changed = Signal(object)
    folder_chosen = Signal(str)
    folder_open_requested = Signal()
    first_steps_requested = Signal()
    contacts_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = SettingsView()
        self._theme = parts.Segments("Theme", THEMES)
        self._theme.chosen.connect(lambda value: self._put(theme=value))
        self._mode = parts.Segments("Lane order", MODES)
        self._mode.chosen.connect(lambda value: self._put(mode=value))
        self._keep = parts.Switch("Keep history", "While this is off, new runs are not written to this machine.")
        self._keep.clicked.connect(lambda on: self._put(keep_history=on))
        self._local = parts.Switch("Local only", "While this is on, every connection to another machine is refused.")
        self._local.clicked.connect(lambda on: self._put(local_only=on))
        self.keys = KeySettings()
        self.costs = CostSettings()
        self.costs.changed.connect(self._took)
        self._models = ModelSettings()
        self._models.changed.connect(self._took)
        self._models.folder_chosen.connect(self.folder_chosen)
        self._models.folder_open_requested.connect(self.folder_open_requested)
        self._models.first_steps_requested.connect(self.first_steps_requested)
        self._network = NetworkSettings()
        self._network.proxy_chosen.connect(lambda address: self._put(proxy_url=address))
        self._network.ca_chosen.connect(lambda path: self._put(ca_file=path))
        self._network.contacts_requested.connect(self.contacts_requested)
        self.servers = ServerSettings()
        self._banner = Banner(closable=True)
        self._banner.setMaximumWidth(WIDTH)
        self._lay_out()
        self.show_settings(self._view)

    def _lay_out(self) -> None:
        body = QWidget()
        body.setMaximumWidth(WIDTH)
        stack = QVBoxLayout(body)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(theme.ROOM)
        for title, rows in self._sections():
            stack.addWidget(section(title, [row(*each) for each in rows]))
        stack.addWidget(self.keys)
        stack.addWidget(self.servers)
        stack.addWidget(self.costs)
        stack.addWidget(self._models)
        stack.addWidget(self._network)
        stack.addStretch(1)
        scroll = ScrollColumn()
        line = QHBoxLayout()  # it asks for the height at the width that the body gets, which is not all there is
        line.addWidget(body, 1)
        line.addStretch(0)
        scroll.column.addLayout(line)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.ROOM, theme.ROOM, theme.ROOM)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._banner)
        layout.addWidget(scroll, 1)

    def _sections(self) -> list[tuple[str, list[tuple[str, str, QWidget]]]]:
        return [
            ("Look", [("Theme", "Light or dark; System follows the desktop.", self._theme)]),
            (
                "Privacy",
                [
                    (
                        "Local only",
                        "While this is on, every connection to another machine is refused. It is on until you "
                        "choose a lane that leaves this machine; turn it on to rule such lanes out.",
                        self._local,
                    ),
                    (
                        "Keep history",
                        "Prompts, answers and figures are kept on this machine only. "
                        "While this is off, nothing new is written; what was kept before stays until you delete it, "
                        "the list of connections under Show what was sent.",
                        self._keep,
                    ),
                ],
            ),
            (
                "Comparing",
                [
                    (
                        "Lane order",
                        "In sequence, one lane runs after the other, which is fair for speed. "
                        "In a race all run at once and compete for this machine.",
                        self._mode,
                    )
                ],
            ),
        ]

    def show_settings(self, view: SettingsView) -> None:
        self._view = view
        self._theme.choose(view.theme)
        self._mode.choose(view.mode)
        self._keep.setChecked(view.keep_history)
        self._local.setChecked(view.local_only)
        self.costs.show_settings(view)
        self._models.show_settings(view)
        self._network.show_settings(view)
        self.servers.show_lines(view.servers)

    def show_problem(self, problem: Problem | None) -> None:
        """A problem with the settings or with what they are about, at the top of the page."""
        self._banner.show_problem(problem)

    def problem_text(self) -> str:
        """What the banner says, or empty."""
        return self._banner.text()

    def focus_main(self) -> None:
        """Where the keyboard is when the page is opened."""
        self._theme.tab_stops()[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def settings(self) -> SettingsView:
        return self._view

    def _put(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]  # mypy cannot follow ** into replace
        self.costs.show_settings(self._view)
        self._models.show_settings(self._view)
        self._network.show_settings(self._view)
        self.changed.emit(self._view)

    def _took(self, view: SettingsView) -> None:
        """A change of a section, which has all the others as they were shown."""
        self._view = view
        self.costs.show_settings(view)
        self._models.show_settings(view)
        self.changed.emit(view)
