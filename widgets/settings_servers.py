"""The section of the Settings page with the person's own servers. Must not know the network, nor check an address."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import parts, theme
from widgets.banner import Banner
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
_FOCUS = Qt.FocusReason.OtherFocusReason


class ServerSettings(QWidget):
    """`add_wanted` carries a name and an address; answer it with `accept`, which clears the fields, or `refuse`."""

    add_wanted = Signal(str, str)
    list_wanted = Signal(str)
    removed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[ServerLine, ...] | None = None
        self._rows: dict[str, ServerRow] = {}
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.TIGHT)
        self._none = parts.label(NONE, tone="muted", wrap=True)
        self._column.addWidget(self._none)
        self._name = _field("Name of the server", "lab")
        self._name.setFixedWidth(NAME_WIDTH)
        self._address = _field("Address of the server", "http://127.0.0.1:8080/v1")
        self._add = parts.button("Add", "Keep this server; it is not contacted until you ask for it", name="Add server")
        self._add.clicked.connect(self._submit)
        self._trouble = Banner()
        for field in (self._name, self._address):
            field.returnPressed.connect(self._submit)
            field.textEdited.connect(self._typed)
        self._form = self._made_form()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = [
            row("Your servers", SAYS, self._list, below=True),
            row("Add a server", ADD_SAYS, self._form, below=True),
        ]
        layout.addWidget(section("Servers", rows))
        self.show_lines(())
        self._typed()

    def _made_form(self) -> QWidget:
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
        """Rows of servers that stay are changed in place, so the keyboard and the page stay where they are; where the
        focused row goes, the next one takes the keyboard."""
        if tuple(lines) == self._lines:
            return
        self._lines = tuple(lines)
        at = next((at for at, row in enumerate(self._rows.values()) if _has_focus(row)), None)
        names = {line.name for line in lines}
        for name in [name for name in self._rows if name not in names]:
            self._drop(self._rows.pop(name))
        rows = {line.name: self._row(line) for line in lines}
        for place, made in enumerate(rows.values()):
            self._column.insertWidget(place, made)
        self._rows = rows
        self._none.setVisible(not rows)
        if at is not None and not any(_has_focus(row) for row in rows.values()):
            left = list(rows.values())
            (left[min(at, len(left) - 1)].first_stop() if left else self._name).setFocus(_FOCUS)
            self._bring_into_sight()

    def _row(self, line: ServerLine) -> ServerRow:
        row = self._rows.get(line.name)
        if row is None:
            row = ServerRow(line.name)
            row.list_wanted.connect(self.list_wanted)
            row.removed.connect(self.removed)
        row.show_line(line)
        return row

    def _drop(self, row: ServerRow) -> None:
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _bring_into_sight(self) -> None:
        """What has the keyboard, or the form; once all is laid out, which what was said or taken away has changed."""

        def bring() -> None:
            focused = self.window().focusWidget()
            in_list = focused is not None and self._list.isAncestorOf(focused)
            parts.bring_into_sight(focused if in_list and focused is not None else self._form)

        QTimer.singleShot(0, self, bring)

    def names(self) -> list[str]:
        return [line.name for line in self._lines or ()]

    def accept(self) -> None:
        """The server is kept."""
        self._name.clear()
        self._address.clear()
        self._trouble.show_problem(None)
        self._name.setFocus(_FOCUS)  # before Add is disabled: its focus would wander off, and the page after it
        self._typed()
        self._bring_into_sight()

    def refuse(self, problem: Problem) -> None:
        """Say beside the fields what is wrong with them, with both in sight; what was typed stays."""
        self._trouble.show_problem(problem)
        self._bring_into_sight()

    def trouble_text(self) -> str:
        """What is said beside the fields, or empty."""
        return self._trouble.text()

    def _typed(self) -> None:
        self._trouble.show_problem(None)
        self._add.setEnabled(bool(self._name.text().strip() and self._address.text().strip()))

    def _submit(self) -> None:
        if self._add.isEnabled():
            self.add_wanted.emit(self._name.text(), self._address.text())


class ServerRow(QWidget):
    """One server: what it is called, where it is, what it has, and two buttons. Signals carry its name."""

    list_wanted = Signal(str)
    removed = Signal(str)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._address = parts.Elided(role="caption", tone="muted")
        self._lists = parts.button(
            "List models",
            f"Ask {name} for its models; no prompt is sent",
            kind="quiet",
            name=f"List the models of {name}",
        )
        self._lists.clicked.connect(lambda: self.list_wanted.emit(name))
        self._take = parts.icon_button("x", f"Remove {name}", f"Remove {name}: lanes that name it stay")
        self._take.clicked.connect(lambda: self.removed.emit(name))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.TIGHT)
        grid.setVerticalSpacing(0)
        grid.addWidget(parts.label(name, "strong"), 0, 0)
        grid.addWidget(self._address, 1, 0)
        grid.addWidget(self._lists, 0, 1, 2, 1)
        grid.addWidget(self._take, 0, 2, 2, 1)
        grid.setColumnStretch(0, 1)

    def show_line(self, line: ServerLine) -> None:
        self._address.setText(f"{line.address} · {_about(line)}")
        parts.set_tip(self._address, f"{line.address}\n{_about(line)}")
        self._lists.setEnabled(not line.problem)

    def first_stop(self) -> QWidget:
        """The button that takes the keyboard; the one that removes only where there is no other."""
        return self._lists if self._lists.isEnabled() else self._take


def _has_focus(row: QWidget) -> bool:
    focused = row.window().focusWidget()
    return focused is not None and row.isAncestorOf(focused)


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
