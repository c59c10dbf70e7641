"""Questions of the model flows with two or three answers: remove, import, move. Must not touch any file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from widgets import format as fmt
from widgets import parts
from widgets.assistant_values import ImportAsk, MoveAsk
from widgets.choice_card import ChoiceCard
from widgets.dialog import Dialog
from widgets.model_values import InstalledLine

MAX_PATHS = 3


def _breakable(path: str) -> str:
    """A path that may go on in the next line after any of its slashes."""
    return path.replace("/", "/\u200b").replace("\\", "\\\u200b")


def _path(text: str) -> QLabel:
    """A path of any length: it breaks where it must; its name for a screen reader is whole."""
    made = parts.label(_breakable(text), "caption", "muted", wrap=True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setAccessibleName(text)
    return made


class RemoveDialog(Dialog):
    """`remove_confirmed` carries the ref. A file of another program is only forgotten, and stays where it is."""

    remove_confirmed = Signal(str)

    def __init__(self, line: InstalledLine, parent: QWidget | None = None) -> None:
        named = f"{line.name}, {line.quant}" if line.quant else line.name
        foreign = bool(line.origin) or not line.can_remove
        super().__init__(f"{'Forget' if foreign else 'Remove'} {named}?", parent=parent)
        if foreign:
            owner = line.origin or "another program"
            self.say(f"Nearfar no longer lists it. The file stays: it belongs to {owner}, and nothing is deleted.")
        else:
            self.say(
                f"This deletes the file and frees {fmt.byte_size(line.size_bytes)}. To use the model again, you "
                "download it again. Your history keeps the answers it gave."
            )
        self.body.addWidget(_path(line.path))
        text, tip = ("Forget", "Take it off the list; the file stays") if foreign else ("Remove", "Delete the file")
        sure = parts.button(text, tip, kind="" if foreign else "stop")
        sure.clicked.connect(lambda: self._sure(line.ref))
        self.add_button(sure, left=True)
        self.add_cancel("Keep it (Esc)", default=True)

    def _sure(self, ref: str) -> None:
        self.remove_confirmed.emit(ref)
        self.accept()


class _TwoWays(Dialog):
    """A choice between two ways, one of them chosen already, and Cancel."""

    def __init__(self, title: str, does: str, tip: str, parent: QWidget | None) -> None:
        super().__init__(title, width=520, parent=parent)
        self._cards: dict[str, ChoiceCard] = {}
        self.sure: QPushButton = parts.button(does, tip, kind="primary")

    def offer(self, ways: Sequence[tuple[str, str, str, bool]]) -> None:
        """`ways` are (value, title, words, possible); the first possible one is chosen."""
        for value, title, words, possible in ways:
            card = ChoiceCard(title, spoken=f"{title}. {words}")
            card.add_line(words, "caption", "muted")
            card.setEnabled(possible)
            self._cards[value] = card
            self.body.addWidget(card)
            if possible and not any(each.isChecked() for each in self._cards.values()):
                card.setChecked(True)
                card.setFocus()
        self.add_cancel("Change nothing (Esc)")
        self.add_button(self.sure, default=True)

    def way(self) -> str:
        return next(value for value, card in self._cards.items() if card.isChecked())


class ImportDialog(_TwoWays):
    """`import_chosen` carries the paths and "copy" or "in_place"."""

    import_chosen = Signal(object, str)

    def __init__(self, ask: ImportAsk, parent: QWidget | None = None) -> None:
        n = len(ask.paths)
        names = PurePath(ask.paths[0]).name if n == 1 else fmt.plural(n, "model file")
        super().__init__(f"Import {names}", "Import", "Import it this way (Enter)", parent)
        for path in ask.paths[:MAX_PATHS]:
            self.body.addWidget(_path(path))
        if n > MAX_PATHS:
            self.say(f"and {n - MAX_PATHS} more", "caption", "muted")
        size, free = fmt.byte_size(ask.size_bytes), ask.folder_free_bytes
        fits = free is None or free > ask.size_bytes
        room = "" if free is None else f" {fmt.byte_size(free)} is free there."
        copies = f"Takes {size} in {_breakable(ask.folder)}.{room} The original stays; you may delete it later."
        lies = "Takes no more space. If it is moved or deleted, or its disk is taken out, the model is gone from here."
        self.offer(
            [
                (
                    "copy",
                    "Copy it into the models folder",
                    copies if fits else f"Not enough space: {size}.{room}",
                    fits,
                ),
                ("in_place", "Use it where it lies", lies, True),
            ]
        )
        self.sure.clicked.connect(lambda: self._chosen(ask.paths))

    def _chosen(self, paths: tuple[str, ...]) -> None:
        self.import_chosen.emit(paths, self.way())
        self.accept()


class MoveFolderDialog(_TwoWays):
    """`move_chosen` carries the new folder and "move" or "switch"."""

    move_chosen = Signal(str, str)

    def __init__(self, ask: MoveAsk, parent: QWidget | None = None) -> None:
        super().__init__("Another models folder", "Change folder", "Change it this way (Enter)", parent)
        models, size = fmt.plural(ask.n_models, "model"), fmt.byte_size(ask.size_bytes)
        self.say(f"{models}, {size} together, lie in the present folder. New downloads go to:")
        self.body.addWidget(_path(ask.new_folder))
        free = ask.new_free_bytes
        fits = free is None or free > ask.size_bytes
        room = "" if free is None else f" {fmt.byte_size(free)} is free there."
        moves = f"{models}, {size}, go to the new folder; each is removed here only when its copy is whole.{room}"
        self.offer(
            [
                ("move", "Move the models too", moves if fits else f"Not enough space for {size}.{room}", fits),
                ("switch", "Leave them where they are", "Only new downloads go there; what lies here stays.", True),
            ]
        )
        self.sure.clicked.connect(lambda: self._chosen(ask.new_folder))

    def _chosen(self, folder: str) -> None:
        self.move_chosen.emit(folder, self.way())
        self.accept()
