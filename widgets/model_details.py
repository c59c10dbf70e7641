"""The selected model: numbers behind its verdict, what would change it, where it comes from. Must not know formulas."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from widgets import file_words, icons, parts, theme
from widgets import format as fmt
from widgets import model_words as words
from widgets.busy_bar import BusyBar
from widgets.lever_button import LeverButton
from widgets.link_button import LinkButton
from widgets.memory_table import MemoryTable
from widgets.model_values import HUB_HOST, ModelRow, ModelsView
from widgets.recommendation_card import ActionButton

MAX_LEVERS = 4
ASK, ASK_NAME = "Ask llama.cpp itself", "Ask llama.cpp for the exact numbers"
STOP, STOP_NAME = "Stop asking", "Stop asking llama.cpp"
ASK_TIP = "llama.cpp works the sizes out, without loading the model."
ASK_HERE = f"{ASK_TIP} It reads the head of the file on this disk."
ASK_HUB = f"{ASK_TIP} Asks {HUB_HOST} for the head of the file (some 8 MB)."
ASK_NOT = f"Local only is on: {HUB_HOST} is not asked for the head of the file"
STOP_TIP = "Leave it at the computed numbers"


class ModelDetails(QFrame):
    """`lever_chosen` carries a LeverLine, `link_requested` an address, the others a ref."""

    download_requested = Signal(str)
    use_requested = Signal(str)
    exact_requested = Signal(str)
    stop_exact_requested = Signal(str)
    lever_chosen = Signal(object)
    link_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "surface")
        self.setAccessibleName("Details of the model")
        self._row: ModelRow | None = None
        self._seen: tuple[object, ...] = ()
        self._whole = False
        self._name = parts.label(role="heading", wrap=True)
        self._facts = parts.label(role="caption", tone="muted", wrap=True)
        self._mark = icons.IconMark("check-circle", "here", 18)
        self._verdict = parts.label(role="strong", wrap=True)
        self._meaning = parts.label(wrap=True)
        self._button = ActionButton(primary=False)
        self._button.wanted.connect(self._acted)
        self._space = parts.label(role="caption", tone="caution", wrap=True)
        self._memory = MemoryTable()
        self._basis = parts.label(role="caption", tone="muted", wrap=True)
        self._exact = parts.button(ASK, ASK_TIP, icon="gauge", name=ASK_NAME)
        self._exact.clicked.connect(self._ask)
        self._asking = BusyBar("llama.cpp is being asked")
        self._exact_note = parts.label(role="caption", tone="caution", wrap=True)
        self._levers_head = parts.label("What would change it", "strong")
        self._levers = [LeverButton() for _ in range(MAX_LEVERS)]
        self._quality = parts.label(wrap=True)
        self._note = parts.label(role="caption", tone="muted", wrap=True)
        self._licence, self._repo = LinkButton(), LinkButton()
        self._licence_text, self._repo_text = (parts.label(role="caption", tone="muted", wrap=True) for _ in range(2))
        self._credit = parts.label(role="caption", tone="muted", wrap=True)
        self._connect()
        self._lay_out()

    def _connect(self) -> None:
        for lever in self._levers:
            lever.chosen.connect(self.lever_chosen)
        for link in (self._licence, self._repo):
            link.followed.connect(self.link_requested)

    def _lay_out(self) -> None:
        self._body = body = QWidget()
        body.setProperty("ground", "clear")
        stack = QVBoxLayout(body)
        stack.setContentsMargins(theme.ROOM, theme.GAP, theme.ROOM, theme.GAP)
        stack.setSpacing(theme.TIGHT)
        line = QHBoxLayout()
        line.setSpacing(theme.TIGHT)
        line.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self._verdict, 1)
        stack.addLayout(parts.column(self._name, self._facts, gap=theme.HAIR))
        stack.addLayout(line)
        self._memory_head = _head("Memory it needs")
        below: tuple[QWidget, ...] = (
            self._meaning, self._button, self._space, self._memory_head, self._memory, self._basis, self._asking,
            self._exact, self._exact_note, self._levers_head, *self._levers, _head("Quality"), self._quality,
            self._note, _head("Where it comes from"), self._repo, self._repo_text, self._licence,
            self._licence_text, self._credit,
        )  # fmt: skip
        for part in below:
            stack.addWidget(part)
        stack.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(body)
        self._scroll.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        self._none = parts.label("Select a model to see the numbers behind its verdict.", tone="muted", wrap=True)
        self._none.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._none.setContentsMargins(theme.ROOM, theme.ROOM, theme.ROOM, theme.ROOM)
        layout.addWidget(self._scroll)
        layout.addWidget(self._none)
        self._scroll.hide()

    def set_whole(self, whole: bool) -> None:
        """Stand as tall as the content, for a page that scrolls itself, instead of scrolling inside."""
        self._whole = whole
        bars = Qt.ScrollBarPolicy
        self._scroll.setVerticalScrollBarPolicy(bars.ScrollBarAlwaysOff if whole else bars.ScrollBarAsNeeded)
        self._fit()

    def _fit(self) -> None:
        tall = self._body.heightForWidth(self.width() - 2) + 4 if self._whole else 0
        if self.minimumHeight() != tall:
            self.setMinimumHeight(tall)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def show_row(self, row: ModelRow | None, view: ModelsView) -> None:
        """None clears it."""
        share = next((file_words.share(line) for line in view.downloads if line.ref == (row and row.ref)), None)
        seen = (row, share, view.n_ctx, view.folder_free_bytes, view.local_only)
        if seen == self._seen:
            return
        new = self._row is None or row is None or row.ref != self._row.ref
        self._seen, self._row = seen, row
        self._scroll.setVisible(row is not None)
        self._none.setVisible(row is None)
        if row is None:
            return
        self._show_head(row, view, share)
        hosts = [device.name for device in view.machine.devices if device.kind == "cpu"]
        self._show_numbers(row, hosts, local_only=view.local_only)
        self._show_source(row)
        if new:
            self._scroll.verticalScrollBar().setValue(0)
        self._fit()

    def _show_head(self, row: ModelRow, view: ModelsView, share: float | None) -> None:
        self._name.setText(words.title(row))
        size = f"{'' if row.size_exact else 'about '}{fmt.byte_size(row.file_bytes)} file"
        weights = f"{row.parameters / 1e9:.3g} billion parameters" if row.parameters else ""
        self._facts.setText("  ·  ".join(part for part in (size, weights) if part))
        icon, tone = words.verdict_mark(row)
        self._mark.show_icon(icon, tone)
        self._verdict.setText(words.verdict(row))
        parts.set_tone(self._verdict, tone if words.fits(row) else "")
        said = [words.verdict_sentence(row)]
        if words.fits(row):
            speed = words.speed_sentence(row)
            basis = words.speed_basis(row)
            said.append(f"Writing: {speed}{f', {basis}' if basis else ''}.")
        if row.state != "not_runnable" and row.n_ctx < view.n_ctx:
            said.append(f"It keeps at most {words.context(row.n_ctx)} in mind.")
        self._meaning.setText(words.unbroken(" ".join(said)))
        self._button.show_row(row, view, share)
        wanted = row.file_bytes if row.state == "available" else 0
        self._space.setText(file_words.lack_of_room(wanted, view.folder_free_bytes))
        self._space.setVisible(bool(self._space.text()))

    def _show_numbers(self, row: ModelRow, hosts: list[str], *, local_only: bool) -> None:
        runs = row.state != "not_runnable"
        counted = runs and bool(row.parts)
        for part in (self._memory_head, self._memory, self._basis):
            part.setVisible(counted)
        if counted:
            self._memory.show_parts(row.parts, hosts)
            self._basis.setText(
                "These are llama.cpp's own numbers." if row.exact else "Computed from the model's shape."
            )
        self._show_asking(row, runs=runs, local_only=local_only)
        self._levers_head.setVisible(runs and bool(row.levers))
        for at, lever in enumerate(self._levers):
            shown = runs and at < len(row.levers)
            if shown:
                lever.show_lever(row.levers[at])
            lever.setVisible(shown)

    def _show_asking(self, row: ModelRow, *, runs: bool, local_only: bool) -> None:
        shown = runs and not row.exact
        here = row.state == "installed"
        tip = STOP_TIP if row.asking else ASK_HERE if here else ASK_NOT if local_only else ASK_HUB
        if self._exact.hasFocus() and not shown:  # it goes away from under the keyboard: to what can be done next
            self._button.setFocus() if self._button.action() != "busy" else self.focusPreviousChild()
        self._exact.setText(STOP if row.asking else ASK)
        self._exact.setAccessibleName(STOP_NAME if row.asking else ASK_NAME)
        self._exact.setAccessibleDescription(tip)
        parts.set_tip(self._exact, tip)
        self._exact.setEnabled(row.asking or here or not local_only)
        self._exact.setVisible(shown)
        self._asking.setVisible(shown and row.asking)
        self._exact_note.setText(row.exact_note)
        self._exact_note.setVisible(shown and bool(row.exact_note))

    def _show_source(self, row: ModelRow) -> None:
        self._quality.setText(words.quality_sentence(row))
        self._note.setText(row.quality_note)
        self._note.setVisible(bool(row.quality_note))
        _show_link(self._repo, self._repo_text, "Repo: ", row.repo, row.repo_url)
        _show_link(self._licence, self._licence_text, "Licence: ", row.licence, row.licence_url)
        self._credit.setText(row.credit)
        self._credit.setVisible(bool(row.credit))

    def row(self) -> ModelRow | None:
        return self._row

    def _acted(self, action: str, ref: str) -> None:
        (self.use_requested if action == "use" else self.download_requested).emit(ref)

    def _ask(self) -> None:
        if self._row is not None:
            (self.stop_exact_requested if self._row.asking else self.exact_requested).emit(self._row.ref)

    def focus_action(self) -> None:
        """To the button that acts on the model, or to the first thing below it where that cannot be pressed."""
        target = self._button if self._button.action() != "busy" else self._exact
        target.setFocus(Qt.FocusReason.ShortcutFocusReason)
        parts.bring_into_sight(target)


def _head(text: str) -> QLabel:
    return parts.label(text, "strong")


def _show_link(link: LinkButton, plain: QLabel, head: str, text: str, url: str) -> None:
    """A link where the address is known, words where it is not, nothing where both are empty."""
    link.setVisible(bool(text and url))
    plain.setVisible(bool(text and not url))
    link.show_link(head + text, url)
    plain.setText(head + text)
