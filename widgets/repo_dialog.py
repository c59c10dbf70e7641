"""Adds a Hugging Face repo: its name, its model files, the choice of one. Must not know the network."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from backends.errors import Problem
from widgets import format as fmt
from widgets import parts, theme
from widgets.assistant_values import HUB_HOST
from widgets.banner import Banner
from widgets.busy_bar import BusyBar
from widgets.choice_card import ChoiceCard, clear
from widgets.dialog import Dialog
from widgets.model_values import RepoFileLine
from widgets.repo_name import NotARepo, RepoName, read_repo
from widgets.screen_room import largest
from widgets.scroll_column import ScrollColumn

LIST_HEIGHT, LEAST_LIST = 260, 72
AROUND = 300  # what the rest of the dialog takes
SAYS = (
    f"Type OWNER/REPO, or paste an address from {HUB_HOST}. Looking it up asks {{}} for the list of its files "
    "and for the first part of the files you look at; none of your prompts or answers is sent."
)


class AddRepoDialog(Dialog):
    """`lookup_requested` carries OWNER/REPO; answer it with `show_listing` or `show_problem`. `download_requested`
    carries the ref of the chosen file, and `lookup_cancelled` says that nobody waits for the listing any more."""

    lookup_requested = Signal(str)
    lookup_cancelled = Signal()
    download_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None, *, host: str = HUB_HOST) -> None:
        """`host` is who is asked for the list."""
        super().__init__("Add a model from Hugging Face", width=560, parent=parent)
        self._host = host
        self._asked: RepoName | None = None
        self._busy = False
        self._cards: dict[ChoiceCard, RepoFileLine] = {}
        self._field = QLineEdit()
        self._field.setAccessibleName("Repo")
        self._field.setAccessibleDescription(SAYS.format(host))
        self._field.setPlaceholderText("OWNER/REPO")
        self._field.textEdited.connect(self._typed)
        self._look = parts.button("Look up", "List the model files of this repo (Enter)")
        self._look.clicked.connect(self.look_up)
        self._bar = BusyBar("Looking up the repo")
        self._status = parts.label("", "caption", "muted", wrap=True)
        self._banner = Banner()
        self._list = ScrollColumn()
        self._column = QVBoxLayout()
        self._download = parts.button("Download", "Download the chosen file", kind="primary")
        self._download.setEnabled(False)
        self._download.clicked.connect(self._chosen)
        self._lay_out()
        self.rejected.connect(self._stop_looking)

    def _lay_out(self) -> None:
        self.say(SAYS.format(self._host), tone="muted")
        line = parts.row(self._field, self._look)
        line.setStretch(0, 1)
        self.body.addLayout(line)
        for made in (self._bar, self._status, self._banner):
            self.body.addWidget(made)
            made.hide()
        self._list.column.setContentsMargins(0, 0, theme.TIGHT, 0)
        self._list.column.addLayout(self._column)
        self._list.column.addStretch(1)
        self._column.setSpacing(theme.TIGHT)
        self._list.setFixedHeight(LIST_HEIGHT)
        self._list.hide()
        self.body.addWidget(self._list)
        self.add_cancel("Close; nothing is downloaded (Esc)")
        self.add_button(self._download)
        self._typed()
        self._field.setFocus()

    # -- what the controller says --------------------------------------------------------------------------------

    def show_busy(self, busy: bool) -> None:
        """While the hub is asked; what was listed before goes."""
        self._busy = busy
        self._bar.setVisible(busy)
        self._look.setText("Stop" if busy else "Look up")
        parts.set_tip(self._look, "Stop looking it up" if busy else "List the model files of this repo (Enter)")
        self._look.setAccessibleName(self._look.text())
        self._field.setReadOnly(busy)
        if busy:
            self._say(f"Asking {self._host}…")
            self._clear_list()
        self._arm()

    def show_listing(self, lines: Sequence[RepoFileLine]) -> None:
        """The models of the repo; one that the pasted address led to is chosen already."""
        self.show_busy(False)
        self._clear_list()
        wanted = self._asked.file if self._asked is not None else ""
        for line in lines:
            card = _card(line)
            card.toggled.connect(lambda _on: self._arm())
            self._cards[card] = line
            self._column.addWidget(card)
            if wanted and wanted.endswith(line.name):
                card.setChecked(True)
        self._list.setFixedHeight(min(LIST_HEIGHT, max(LEAST_LIST, largest(self).height() - AROUND)))
        self._list.setVisible(bool(lines))
        repo = self._asked.repo if self._asked is not None else "This repo"
        if lines:
            self._say(f"{repo}: {fmt.plural(len(lines), 'model file')}. Choose one.")
            next((card for card in self._cards if card.isChecked()), next(iter(self._cards))).setFocus()
        else:
            self._say(
                f"{repo} holds no GGUF files, and llama.cpp runs no others. Look for a repo with GGUF in its name."
            )
        self._arm()

    def show_problem(self, problem: Problem | None) -> None:
        if problem is not None:
            self.show_busy(False)
            self._say("")
        self._banner.show_problem(problem)

    # -- inside --------------------------------------------------------------------------------------------------

    def _typed(self) -> None:
        """Another name: what is listed is not of it."""
        self._asked = None
        self._clear_list()
        self._say("")
        self._banner.show_problem(None)
        self._arm()

    def type_repo(self, text: str) -> None:
        """As if the person had typed or pasted it."""
        self._field.setText(text)
        self._typed()

    def look_up(self) -> None:
        """What the button does: ask for the listing, or stop waiting for it."""
        if self._busy:
            self._stop_looking()
            return
        try:
            self._asked = read_repo(self._field.text())
        except NotARepo as why:
            self._say(str(why), "danger")
            return
        self._banner.show_problem(None)
        self.show_busy(True)
        self.lookup_requested.emit(self._asked.repo)

    def _stop_looking(self) -> None:
        if self._busy:
            self.show_busy(False)
            self._say("Stopped. Nothing was added.")
            self.lookup_cancelled.emit()

    def _chosen(self) -> None:
        line = next((line for card, line in self._cards.items() if card.isChecked()), None)
        if line is not None:
            self.download_requested.emit(line.ref)
            self.accept()

    def _arm(self) -> None:
        """Enter looks up until a file is chosen; then it downloads."""
        chosen = next((line for card, line in self._cards.items() if card.isChecked()), None)
        self._look.setEnabled(self._busy or bool(self._field.text().strip()))
        size = f" {fmt.byte_size(chosen.size_bytes)}" if chosen is not None and chosen.size_bytes is not None else ""
        self._download.setText(f"Download{size}")
        self._download.setEnabled(chosen is not None)
        self._download.setDefault(chosen is not None)
        self._look.setDefault(chosen is None)

    def _say(self, text: str, tone: str = "muted") -> None:
        self._status.setText(text)
        parts.set_tone(self._status, tone)
        self._status.setVisible(bool(text))

    def _clear_list(self) -> None:
        self._cards.clear()
        clear(self._column)
        self._list.hide()


def _card(line: RepoFileLine) -> ChoiceCard:
    size = fmt.byte_size(line.size_bytes) if line.size_bytes is not None else "size unknown"
    told = [line.quant or "quant unknown", size]
    if line.n_parts > 1:
        told.append(f"{line.n_parts} parts, fetched as one model")
    told.append("checked by its sha256 when it is here" if line.hashed else "the hub gives no checksum for it")
    words = " · ".join(told)
    card = ChoiceCard(line.name, spoken=f"{line.name}, {', '.join(told)}")
    card.add_line(words, "caption", "muted" if line.hashed else "caution")
    return card
