"""The searchable, grouped list inside the target picker. Must not know lanes, nor what a target does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from backends.errors import UnknownTarget
from backends.targets import parse_target
from widgets import format as fmt
from widgets import icons, parts, theme
from widgets.values import (
    GROUP_CLOUD,
    GROUP_HERE,
    GROUP_OWN,
    GROUP_PRACTICE,
    GROUP_SERVERS,
    TargetAction,
    TargetChoice,
)

FILE_ROW = "file"
NAME, DETAIL, ICON_NAME, IS_HEADER = (Qt.ItemDataRole.UserRole + n for n in range(1, 5))
_ORDER = (GROUP_HERE, GROUP_PRACTICE, GROUP_SERVERS, GROUP_OWN, GROUP_CLOUD)
MANY = 10  # rows of one provider that are shown before anything is typed
_Index = QModelIndex | QPersistentModelIndex


def detail_of(choice: TargetChoice) -> str:
    """The second line of a row: where it runs and what is special about it."""
    said = [choice.detail] if choice.detail else []
    if choice.disabled_reason:
        return " · ".join((*said, choice.disabled_reason))
    if not choice.is_here:
        said.append(f"leaves this machine: {choice.where}")
    if choice.retires_on:
        said.append(fmt.retirement(choice.retires_on))
    if choice.needs_key:
        said.append("asks for a key")
    return " · ".join(said)


def matches(choice: TargetChoice, words: Sequence[str]) -> bool:
    """True where every word occurs in something the row says."""
    said = f"{choice.name} {choice.label} {choice.detail} {choice.group} {choice.where}".casefold()
    return all(word in said for word in words)


def _acts_on(action: TargetAction, words: Sequence[str]) -> bool:
    said = f"{action.label} {action.detail} {action.group}".casefold()
    return all(word in said for word in words)


def _said_of(action: TargetAction) -> str:
    return action.disabled_reason or action.detail


class _RowDelegate(QStyledItemDelegate):
    """Two lines and an icon per row; one quiet line for a group's header."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        line = QFontMetrics(theme.font("body")).height()
        if index.data(IS_HEADER):
            return QSize(0, line + theme.TIGHT)
        return QSize(0, line + QFontMetrics(theme.font("caption")).height() + theme.GAP)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        rect = QRect(option.rect)
        state = option.state
        painter.save()
        if index.data(IS_HEADER):
            painter.setFont(theme.font("caption"))
            painter.setPen(theme.color("muted"))
            painter.drawText(rect.adjusted(theme.GAP, 0, 0, -2), Qt.AlignmentFlag.AlignBottom, index.data())
        else:
            self._paint_row(painter, rect, index, bool(state & QStyle.StateFlag.State_Selected))
        painter.restore()

    def _paint_row(self, painter: QPainter, rect: QRect, index: _Index, selected: bool) -> None:
        enabled = bool(index.flags() & Qt.ItemFlag.ItemIsEnabled)
        if selected and enabled:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent_soft"))
            painter.drawRoundedRect(rect.adjusted(theme.HAIR, 0, -theme.HAIR, 0), 6, 6)
        name, tone = index.data(ICON_NAME)
        mark = QRect(rect.left() + theme.GAP, rect.top() + theme.TIGHT + 1, theme.ICON, theme.ICON)
        icons.icon(name, tone if enabled else "muted").paint(painter, mark)
        inner = rect.adjusted(theme.GAP + theme.ICON + theme.TIGHT, theme.HAIR + 2, -theme.GAP, -theme.HAIR)
        self._line(painter, inner, index.data(), "body", "text" if enabled else "muted")
        inner.setTop(inner.top() + QFontMetrics(theme.font("body")).height())
        self._line(painter, inner, index.data(DETAIL), "caption", "muted")

    @staticmethod
    def _line(painter: QPainter, rect: QRect, text: str, role: theme.Role, tone: str) -> None:
        font = theme.font(role)
        painter.setFont(font)
        painter.setPen(theme.color(tone))
        shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, shown)


class TargetList(QFrame):
    """A popup: a search field above the rows. Emits the chosen target's name, that a file is wanted, or an action's
    key."""

    chosen = Signal(str)
    file_wanted = Signal()
    action_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("card", "popup")
        self.setAccessibleName("Choose a target")
        self._choices: tuple[TargetChoice, ...] = ()
        self._actions: tuple[TargetAction, ...] = ()
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search, or type a target such as together:meta-llama/Llama-3.3-70B")
        self._search.setAccessibleName("Search targets")
        self._search.setClearButtonEnabled(True)
        self._search.textChanged.connect(self._fill)
        self._model = QStandardItemModel(self)
        self._view = QListView()
        self._view.setModel(self._model)
        self._view.setItemDelegate(_RowDelegate(self._view))
        self._view.setMouseTracking(True)
        self._view.setAccessibleName("Targets")
        self._view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._view.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.clicked.connect(self._take)
        self._view.entered.connect(self._view.setCurrentIndex)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.TIGHT, theme.TIGHT, theme.TIGHT, theme.TIGHT)
        layout.setSpacing(theme.HAIR)
        layout.addWidget(self._search)
        layout.addWidget(self._view)
        self._search.installEventFilter(self)

    def show_choices(self, choices: Sequence[TargetChoice], actions: Sequence[TargetAction] = ()) -> None:
        self._choices = tuple(choices)
        self._actions = tuple(actions)
        self._fill(self._search.text())

    def open_below(self, anchor: QWidget) -> None:
        """Show under `anchor`, inside the screen, with the search field ready."""
        self._search.clear()
        self._fill("")
        rows = sum(self._view.sizeHintForRow(at) for at in range(self._model.rowCount()))
        height = min(rows + self._search.sizeHint().height() + 4 * theme.TIGHT, 440)
        self.resize(max(anchor.width(), 420), height)
        at = anchor.mapToGlobal(anchor.rect().bottomLeft())
        room = anchor.screen().availableGeometry()
        at.setX(max(room.left(), min(at.x(), room.right() - self.width())))
        at.setY(max(room.top(), min(at.y() + theme.HAIR, room.bottom() - self.height())))
        self.move(at)
        self.show()
        self._search.setFocus(Qt.FocusReason.PopupFocusReason)

    def rows(self) -> list[str]:
        """The rows in sight, headers too, from top to bottom."""
        return [self._model.item(at).text() for at in range(self._model.rowCount())]

    def _fill(self, typed: str) -> None:
        words = typed.casefold().split()
        self._model.clear()
        named = self._typed_row(typed.strip())
        for group in self._groups():
            found = [choice for choice in self._choices if choice.group == group and matches(choice, words)]
            acts = [action for action in self._actions if action.group == group and _acts_on(action, words)]
            if found or acts or (group == GROUP_HERE and not words):
                self._header(group)
            self._choice_rows(found, shortened=not words)
            if group == GROUP_HERE and (not words or "gguf" in typed.casefold()):
                self._add(
                    FILE_ROW, "Your own .gguf file…", "choose a model file on this machine", ("file-plus", "here")
                )
            for action in acts:
                item = self._add(f"action:{action.key}", action.label, _said_of(action), (action.icon, "muted"))
                item.setEnabled(action.disabled_reason is None)
        self._select(typed.strip() if named else "")

    def _groups(self) -> list[str]:
        used = dict.fromkeys([*(each.group for each in self._choices), *(each.group for each in self._actions)])
        return [*_ORDER, *(group for group in used if group not in _ORDER)]

    def _choice_rows(self, choices: Sequence[TargetChoice], *, shortened: bool) -> None:
        """A provider's list can have hundreds of rows: before anything is typed the first few stand for it."""
        shown = Counter[str]()
        for choice in choices:
            shown[choice.detail] += 1
            if not shortened or shown[choice.detail] <= MANY or choice.is_here:
                self._choice_row(choice)
        for provider, number in shown.items():
            if shortened and number > MANY and any(c.detail == provider and not c.is_here for c in choices):
                self._header(f"{number - MANY} more of {provider}: type to find them")

    def _choice_row(self, choice: TargetChoice) -> None:
        mark = ("desktop", "here") if choice.is_here else ("cloud-arrow-up", "away")
        item = self._add(f"target:{choice.name}", choice.label, detail_of(choice), mark)
        item.setEnabled(choice.disabled_reason is None)

    def _typed_row(self, typed: str) -> bool:
        """A target that was typed whole stands first and is what Enter takes; true also where it is listed already.

        Not a local one while it is being typed: `local:de` is the way to `local:demo` rather than a file.
        """
        try:
            name = str(parse_target(typed))
        except UnknownTarget:
            return False
        if any(choice.name == name for choice in self._choices):
            return True
        here = name.startswith("local:")
        if here and any(choice.name.startswith(name) for choice in self._choices):
            return False
        self._header("As typed")
        mark = ("desktop", "here") if here else ("cloud-arrow-up", "away")
        self._add(f"target:{name}", name, "on this machine" if here else self._where_typed(name), mark)
        return True

    def _where_typed(self, name: str) -> str:
        """By what is known of its provider's other models; the lane says it exactly once it is chosen."""
        end = "/" if name.startswith("custom:") else ":"
        server = name.partition(end)[0] + end
        kin = next((each for each in self._choices if each.name.startswith(server) and not each.sent_on), None)
        return f"leaves this machine: {kin.where}" if kin is not None and not kin.is_here else "as its server is set"

    def _header(self, text: str) -> None:
        item = QStandardItem(text)
        item.setData(True, IS_HEADER)
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        self._model.appendRow(item)

    def _add(self, name: str, text: str, detail: str, mark: tuple[str, str]) -> QStandardItem:
        item = QStandardItem(text)
        item.setData(name, NAME)
        item.setData(detail, DETAIL)
        item.setData(mark, ICON_NAME)
        item.setData(f"{text}, {detail}", Qt.ItemDataRole.AccessibleTextRole)
        item.setToolTip(parts.tip(detail))
        self._model.appendRow(item)
        return item

    def _select(self, name: str) -> None:
        """The row of this target, or the first that can be chosen."""
        for at in range(self._model.rowCount()):
            item = self._model.item(at)
            if name and item.data(NAME) == f"target:{name}" and item.isEnabled():
                self._view.setCurrentIndex(item.index())
                return
        self._move(1, start=-1)

    def _move(self, step: int, start: int | None = None) -> None:
        at = self._view.currentIndex().row() if start is None else start
        while 0 <= at + step < self._model.rowCount():
            at += step
            item = self._model.item(at)
            if item.isEnabled() and not item.data(IS_HEADER):
                self._view.setCurrentIndex(item.index())
                return

    def _take(self, index: QModelIndex) -> None:
        name = index.data(NAME)
        if not name or not index.flags() & Qt.ItemFlag.ItemIsEnabled:
            return
        self.hide()
        if name == FILE_ROW:
            self.file_wanted.emit()
        elif str(name).startswith("action:"):
            self.action_wanted.emit(str(name).removeprefix("action:"))
        else:
            self.chosen.emit(str(name).removeprefix("target:"))

    def eventFilter(self, watched: object, event: object) -> bool:
        if watched is self._search and isinstance(event, QKeyEvent) and event.type() == QKeyEvent.Type.KeyPress:
            match event.key():
                case Qt.Key.Key_Down:
                    self._move(1)
                case Qt.Key.Key_Up:
                    self._move(-1)
                case Qt.Key.Key_Return | Qt.Key.Key_Enter:
                    self._take(self._view.currentIndex())
                case _:
                    return False
            return True
        return False
