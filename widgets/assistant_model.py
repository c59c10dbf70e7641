"""Step two of the first-start assistant: a model that fits, and its download. Must not know hubs, files or formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QFrame, QLabel, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import icons, parts, theme
from widgets import model_words as words
from widgets.assistant_step import Step
from widgets.assistant_values import AssistantView
from widgets.banner import Banner
from widgets.busy_bar import BusyBar
from widgets.choice_card import ChoiceCard, clear
from widgets.model_values import DownloadLine, ModelRow
from widgets.progress_rule import ProgressRule

MODEL_FILES = "GGUF models (*.gguf);;All files (*)"
WEIGHING = "Weighing which models fit your machine…"
SENDS = "Download contacts {} and asks for this file only. None of what you type is sent."
REFUSED = "Local only is on, so nothing can be downloaded. Turn it off in Settings, or use a model file you have."
GOES_ON = "The download goes on in the background, and the Models page shows it. Until then the demo model answers."
ASKS = "{} is asked about the file. Its licence comes next, and nothing is downloaded before."
READY = "It is here, checked and ready: it answers in the first lane."
_LIVE: Final = ("queued", "running", "paused")
_MARKS: Final = {
    0: ("Fastest here", "info", "plain"),  # where nothing is recommended
    1: ("Recommended", "check-circle", "here"),
    2: ("Faster", "lightning", "plain"),
    3: ("Better answers", "sparkle", "plain"),
}


class ModelStep(Step):
    """Signals carry a model's ref, or the paths of files to import."""

    download_requested = Signal(str)
    cancel_requested = Signal(str)
    use_requested = Signal(str)
    import_requested = Signal(object)
    title = "A model that fits"
    heading = "A model that fits your machine"

    def __init__(self) -> None:
        super().__init__()
        self._view = AssistantView()
        self._cards: dict[str, _OfferCard] = {}
        self._says = parts.label(WEIGHING, wrap=True)
        self._bar = BusyBar("Weighing models")
        self._banner = Banner()
        self._offers = QVBoxLayout()
        self._offers.setSpacing(theme.TIGHT)
        self._progress = _Progress()
        self._progress.cancel_requested.connect(self.cancel_requested)
        self._mark = icons.IconMark("cloud-arrow-down", "muted")
        self._sends = parts.label("", "caption", "muted", wrap=True)
        self._room = parts.label("", "caption", "caution", wrap=True)
        self._credit = parts.label("", "caption", "muted")
        self._import = parts.button(
            "Use a model file I have…", "Choose a GGUF file on this machine; nothing is contacted",
            icon="folder-open", tone="muted",
        )  # fmt: skip
        self._import.clicked.connect(self._choose_file)
        self._lay_out()
        self.show_view(self._view)

    def _lay_out(self) -> None:
        for made in (self._says, self._bar, self._banner):
            self.body.addWidget(made)
        cards = QWidget()
        cards.setLayout(self._offers)
        self._offers.setContentsMargins(0, 0, 0, 0)
        self._group = cards
        self.body.addWidget(cards)
        self.body.addWidget(self._progress)
        line = parts.row(self._mark, self._sends)
        line.setStretch(1, 1)
        self.body.addLayout(line)
        self.body.addWidget(self._room)
        last = parts.row(self._import)
        last.setContentsMargins(
            -theme.GAP - 1, 0, 0, 0
        )  # what a button leaves around its icon, so that icons stand in line
        last.addStretch(1)
        last.addWidget(self._credit)
        self.body.addLayout(last)

    # -- what it shows -------------------------------------------------------------------------------------------

    def show_view(self, view: AssistantView) -> None:
        self._view = view
        offers, going = view.offers, self._going()
        self._bar.setVisible(offers is None and not going)
        self._says.setText(self._lead())
        self._show_offers(offers or ())
        self._group.setVisible(bool(offers) and not going)
        self._progress.show_download(view.download if going else None)
        failed = view.download is not None and view.download.state == "failed"
        self._banner.show_problem(view.download.problem if view.download is not None and failed else view.problem)
        self._import.setVisible(not going)
        self._credit.setVisible(not going)
        self._credit.setText(" · ".join(dict.fromkeys(row.credit for row in offers or () if row.credit)))
        self._say_what_it_takes()

    def _lead(self) -> str:
        view = self._view
        if self._asking():
            return ASKS.format(self._view.hub_host)
        if self._going():
            return READY if self._done() else GOES_ON
        if view.offers is None:
            return WEIGHING
        if not view.offers:
            return view.no_offer or "No model of the catalogue fits the free memory of this machine now."
        return "Chosen for the memory that is free now. The Models page has many more, for later."

    def _show_offers(self, offers: Sequence[ModelRow]) -> None:
        """In place where the same models are offered, so that neither choice nor focus is lost."""
        if [row.ref for row in offers] != list(self._cards):
            chosen = self.chosen()
            self._cards.clear()
            clear(self._offers)
            for row in offers:
                card = _OfferCard(row, alone=all(each.rank != 1 for each in offers))
                card.toggled.connect(self._card_toggled)
                self._cards[row.ref] = card
                self._offers.addWidget(card)
            kept = chosen.ref if chosen is not None and chosen.ref in self._cards else next(iter(self._cards), None)
            if kept is not None:
                self._cards[kept].setChecked(True)
        for row in offers:
            self._cards[row.ref].show_row(row)

    def _say_what_it_takes(self) -> None:
        row, view = self.chosen(), self._view
        asks = row is not None and row.state == "available" and not self._going()
        self._mark.setVisible(asks)
        self._mark.show_icon("shield-check" if view.local_only else "cloud-arrow-down", "muted")
        self._sends.setVisible(asks)
        self._sends.setText(REFUSED if view.local_only else SENDS.format(view.hub_host))
        free = view.folder_free_bytes
        short = asks and row is not None and free is not None and free < row.file_bytes
        self._room.setVisible(short)
        if short and row is not None:
            need, have = fmt.byte_size(row.file_bytes), fmt.byte_size(free)
            self._room.setText(f"The disk of the models folder has {have} free, and this model needs {need}.")
        self.changed.emit()

    # -- what the person does ------------------------------------------------------------------------------------

    def chosen(self) -> ModelRow | None:
        return next((card.row for card in self._cards.values() if card.isChecked()), None)

    def next_text(self) -> str:
        row = self.chosen()
        if self._going():
            return "Start comparing"
        if row is None:
            return "Download" if self._view.offers is None else "Start with the demo model"
        if row.state == "installed":
            return "Use this model"
        again = self._view.download is not None and self._view.download.state == "failed"
        return "Try again" if again else f"Download {fmt.byte_size(row.file_bytes)}"

    def next_tip(self) -> str:
        if self._going() or self.chosen() is None:
            return "Close the first steps and compare (Enter)"
        return "Take the chosen model (Enter)"

    def skip_text(self) -> str:
        if self._going():
            return ""
        return "Skip" if self._view.offers == () else "Not now: use the built-in demo model"

    def skip_tip(self) -> str:
        return "Start with the tiny demo model; the Models page has all others (Esc)"

    def can_go_on(self) -> bool:
        row = self.chosen()
        if self._asking():
            return False
        if self._going() or self._view.offers == ():
            return True
        return row is not None and (row.state == "installed" or not self._view.local_only)

    def go_on(self) -> bool:
        row = self.chosen()
        if self._going() or row is None:
            return True
        if row.state == "installed":
            self.use_requested.emit(row.ref)
            return True
        self.download_requested.emit(row.ref)
        return False

    def focus_target(self) -> QWidget | None:
        return next((card for card in self._cards.values() if card.isChecked() and card.isVisibleTo(self)), None)

    def tab_stops(self) -> list[QWidget]:
        return [*self._cards.values(), *self._progress.tab_stops(), self._import]

    def _card_toggled(self, on: bool) -> None:
        if on:
            self._say_what_it_takes()

    def _choose_file(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Choose model files", "", MODEL_FILES)
        if paths:
            self.import_requested.emit(tuple(paths))

    def _going(self) -> bool:
        """A download was started here and is under way or done."""
        download = self._view.download
        return download is not None and download.state in (*_LIVE, "done")

    def _asking(self) -> bool:
        return self._view.download is not None and self._view.download.asking_hub

    def _done(self) -> bool:
        return self._view.download is not None and self._view.download.state == "done"


class _OfferCard(ChoiceCard):
    """One model with its reason, size, speed and licence."""

    def __init__(self, row: ModelRow, *, alone: bool = False) -> None:
        """`alone`: nothing is recommended, so that nothing is faster than that."""
        super().__init__(words.title(row))
        self.row = row
        badge = parts.Badge()
        self._standing = _MARKS[0 if alone and row.rank == 2 else row.rank or 3]
        text, icon, tone = self._standing
        badge.show_text(text, icon, tone)
        self.add_mark(badge)
        self._reason = self.add_line("")
        self._facts = self.add_line("", "caption", "muted")

    def show_row(self, row: ModelRow) -> None:
        self.row = row
        size = f"{'' if row.size_exact else 'about '}{fmt.byte_size(row.file_bytes)}"
        size = f"{size}, here already" if row.state == "installed" else f"{size} to download"
        told = [part for part in (size, words.speed_sentence(row), row.licence) if part]
        _set_text(self._reason, row.reason)
        _set_text(self._facts, "  ·  ".join(told))
        self.setAccessibleName(f"{self._standing[0]}: {words.title(row)}")
        self.setAccessibleDescription(f"{row.reason} {', '.join(told)}".replace("  ·  ", ", "))


class _Progress(QFrame):
    """The download that was started here; `cancel_requested` carries its ref, while the hub is being asked."""

    cancel_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._ref = ""
        self.setProperty("card", "surface")
        self._head = icons.IconMark("download-simple", "accent", 20)
        self._title = parts.label(role="strong", wrap=True)
        self._line = parts.label(role="caption", tone="muted", wrap=True)
        self._bar = ProgressRule()
        self._asks = BusyBar("Asking the hub")
        self._cancel = parts.button("Cancel", "Stop asking; nothing was downloaded", kind="quiet")
        self._cancel.clicked.connect(lambda: self.cancel_requested.emit(self._ref))
        head = parts.row(self._head, self._title, self._cancel)
        head.setStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(head)
        layout.addWidget(self._bar)
        layout.addWidget(self._asks)
        layout.addWidget(self._line)

    def tab_stops(self) -> list[QWidget]:
        return [self._cancel]

    def show_download(self, download: DownloadLine | None) -> None:
        self.setVisible(download is not None)
        if download is None:
            return
        self._ref, done = download.ref, download.state == "done"
        for made in (self._asks, self._cancel):
            made.setVisible(download.asking_hub)
        self._bar.setVisible(not download.asking_hub)
        self._cancel.setAccessibleName(f"Cancel: {download.title}")
        self._head.show_icon("check-circle" if done else "download-simple", "here" if done else "accent")
        _set_text(self._title, download.title)
        _set_text(self._line, words.download_line(download))
        self._bar.show_progress(1.0 if done else words.share(download) or 0.0)
        self._bar.setAccessibleName(f"Download of {download.title}")


def _set_text(shown: QLabel, text: str) -> None:
    if shown.text() != text:
        shown.setText(text)
