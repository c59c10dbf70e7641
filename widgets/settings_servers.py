"""The section of the Settings page with the person's own servers. Must not know the network, nor check an address."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import parts, theme
from widgets.banner import Banner
from widgets.choice_card import clear
from widgets.settings_rows import row, section
from widgets.values import THIS_MACHINE, ServerLine

SAYS = (
    "Servers that speak the OpenAI protocol: your own, or rented, as at Modal, Baseten or RunPod. "
    "A server named ollama, llamacpp, lmstudio, vllm or tgi is spoken to as one of that kind."
)
ADD_SAYS = (
    "A name of small letters, digits, dots, dashes and underscores; an address that begins with http:// or https://."
)
NONE = "None yet. Servers that run on this machine are found from a lane's list of targets."
NAME_WIDTH = 150


class ServerSettings(QWidget):
    """`add_wanted` carries a name and an address; answer it with `accept`, which clears the fields, or `refuse`."""

    add_wanted = Signal(str, str)
    list_wanted = Signal(str)
    removed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[ServerLine, ...] | None = None
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.TIGHT)
        self._name = _field("Name of the server", "lab")
        self._name.setFixedWidth(NAME_WIDTH)
        self._address = _field("Address of the server", "http://127.0.0.1:8080/v1")
        self._add = parts.button("Add", "Keep this server; it is not contacted until you ask for it", name="Add server")
        self._add.clicked.connect(self._submit)
        self._trouble = Banner()
        for field in (self._name, self._address):
            field.returnPressed.connect(self._submit)
            field.textEdited.connect(self._typed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = [
            row("Your servers", SAYS, self._list, below=True),
            row("Add a server", ADD_SAYS, self._form(), below=True),
        ]
        layout.addWidget(section("Servers", rows))
        self.show_lines(())
        self._typed()

    def _form(self) -> QWidget:
        made = QWidget()
        line = parts.row(self._name, self._address, self._add)
        line.setStretch(1, 1)
        inside = QVBoxLayout(made)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(theme.TIGHT)
        inside.addWidget(self._trouble)  # above the fields, so that it is in sight where they are
        inside.addLayout(line)
        return made

    def show_lines(self, lines: Sequence[ServerLine]) -> None:
        """The keyboard stays in the list when a line goes."""
        if tuple(lines) == self._lines:
            return
        focused = self.window().focusWidget()
        had_focus = focused is not None and self._list.isAncestorOf(focused)
        self._lines = tuple(lines)
        clear(self._column)
        if not lines:
            self._column.addWidget(parts.label(NONE, tone="muted", wrap=True))
        buttons = [self._line(line) for line in lines]
        if had_focus:
            (buttons[0] if buttons else self._name).setFocus(Qt.FocusReason.OtherFocusReason)

    def names(self) -> list[str]:
        return [line.name for line in self._lines or ()]

    def accept(self) -> None:
        """The server is kept."""
        self._name.clear()
        self._address.clear()
        self._trouble.show_problem(None)
        self._typed()
        self._name.setFocus(Qt.FocusReason.OtherFocusReason)

    def refuse(self, problem: Problem) -> None:
        """Say beside the fields what is wrong with them; what was typed stays."""
        self._trouble.show_problem(problem)

    def trouble_text(self) -> str:
        """What is said beside the fields, or empty."""
        return self._trouble.text()

    def _line(self, line: ServerLine) -> QWidget:
        said = parts.label(line.name, "strong")
        address = parts.Elided(f"{line.address} · {_about(line)}", role="caption", tone="muted")
        parts.set_tip(address, f"{line.address}\n{_about(line)}")
        lists = parts.button(
            "List models",
            f"Ask {line.name} for its models; no prompt is sent",
            kind="quiet",
            name=f"List the models of {line.name}",
        )
        lists.clicked.connect(lambda: self.list_wanted.emit(line.name))
        lists.setEnabled(not line.problem)
        take = parts.icon_button("x", f"Remove {line.name}", f"Remove {line.name}: lanes that name it stay")
        take.clicked.connect(lambda: self.removed.emit(line.name))
        made = QWidget()
        grid = QGridLayout(made)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.TIGHT)
        grid.setVerticalSpacing(0)
        grid.addWidget(said, 0, 0)
        grid.addWidget(address, 1, 0)
        grid.addWidget(lists, 0, 1, 2, 1)
        grid.addWidget(take, 0, 2, 2, 1)
        grid.setColumnStretch(0, 1)
        self._column.addWidget(made)
        return lists

    def _typed(self) -> None:
        self._trouble.show_problem(None)
        self._add.setEnabled(bool(self._name.text().strip() and self._address.text().strip()))

    def _submit(self) -> None:
        if self._add.isEnabled():
            self.add_wanted.emit(self._name.text(), self._address.text())


def _about(line: ServerLine) -> str:
    if line.problem:
        return line.problem
    where = "on this machine" if line.where == THIS_MACHINE else f"leaves this machine: {line.where}"
    return f"{where} · {line.listed}" if line.listed else f"{where} · models not listed yet"


def _field(name: str, example: str) -> QLineEdit:
    field = QLineEdit()
    field.setAccessibleName(name)
    field.setPlaceholderText(example)
    return field
