"""One device's memory as a bar of parts with its figures beside it. Must not know who measures it or fits models.

The parts are what others use, what a model of ours holds, what the model would take, and what is left; the words say
all of it without colour.
"""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QFocusEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.model_values import DeviceBar

HEIGHT = 10
SWATCH = 10
Part = Literal["used", "own", "wanted", "short", "left"]


def used_bytes(device: DeviceBar) -> int | None:
    """What is not free, be it used by programs or kept by the driver."""
    if device.total_bytes is None or device.free_bytes is None:
        return device.used_bytes
    return device.total_bytes - device.free_bytes


def short_bytes(device: DeviceBar) -> int:
    """What the model would lack here."""
    return max(0, device.wanted_bytes - room_bytes(device)) if device.free_bytes is not None else 0


def room_bytes(device: DeviceBar) -> int:
    """What the next model finds: what is free, and what one of ours gives back for it."""
    return (device.free_bytes or 0) + (device.own_bytes if device.makes_room else 0)


def headline(device: DeviceBar) -> str:
    """`14.9 of 24.0 GiB free`."""
    if device.free_bytes is None:
        return "free memory not known"
    if device.total_bytes is None:
        return f"{fmt.byte_size(device.free_bytes)} free"
    return f"{fmt.part_of(device.free_bytes, device.total_bytes)} free"


def kind_words(device: DeviceBar) -> str:
    if device.shared:
        return "GPU and main memory, shared"
    return "GPU memory" if device.kind == "gpu" else "Main memory"


def legend(device: DeviceBar, wanted_by: str) -> list[tuple[Part, str]]:
    """The parts of the bar in words; `wanted_by` is whose memory the middle one is, as “selected model”."""
    used = used_bytes(device)
    said: list[tuple[Part, str]] = []
    if used is not None:
        who = "" if device.own_bytes else _holders(device)  # there is no room for both; the details have them
        said.append(("used", f"{fmt.byte_size(max(0, used - device.own_bytes))} in use{who}"))
    if device.own_bytes:
        said.append(("own", f"{fmt.byte_size(device.own_bytes)} Nearfar: {fmt.one_line(device.own_name, 28)}"))
    short = short_bytes(device)
    if device.wanted_bytes:
        wanted = f"{fmt.byte_size(device.wanted_bytes)} {wanted_by}"
        said.append(("short", f"{wanted}, {fmt.byte_size(short)} too much") if short else ("wanted", wanted))
        if device.free_bytes is not None and not short:
            said.append(("left", f"{fmt.byte_size(room_bytes(device) - device.wanted_bytes)} left"))
    return said


def _holders(device: DeviceBar) -> str:
    if not device.in_use_by:
        return ""
    more = len(device.in_use_by) - 1
    return f" by {fmt.one_line(device.in_use_by[0], 20)}{f' and {more} more' if more else ''}"


def details(device: DeviceBar) -> str:
    """The lines behind the bar: what it is and who holds its memory."""
    lines = [f"{device.name}: {kind_words(device).lower()}, {headline(device)}"]
    if device.detail:
        lines.append(device.detail)
    if device.in_use_by:
        lines.append(f"In use by {', '.join(device.in_use_by)}")
    if device.own_bytes:
        rest = "; it is closed when another model is loaded" if device.makes_room else ""
        lines.append(f"Nearfar has {device.own_name} loaded, {fmt.byte_size(device.own_bytes)}{rest}")
    kept = (used_bytes(device) or 0) - (device.used_bytes or 0)
    if device.used_bytes is not None and kept > 2**26:
        lines.append(f"{fmt.byte_size(kept)} of what is in use is kept by the driver or the system")
    return "\n".join(lines)


class MemoryBar(QWidget):
    """The bar alone; silent for screen readers, since the words beside it say the same."""

    def __init__(self) -> None:
        super().__init__()
        self._device: DeviceBar | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(120, HEIGHT)

    def show_device(self, device: DeviceBar) -> None:
        if device != self._device:
            self._device = device
            self.update()

    def shares(self) -> tuple[float, float, float, bool]:
        """Where others end, our own model ends and wanted ends, 0 to 1, and whether the wanted model is too large.

        A model of ours that makes room is drawn as far as the wanted one leaves it.
        """
        device = self._device
        if device is None or not device.total_bytes:
            return 0.0, 0.0, 0.0, False
        total = device.total_bytes
        used = used_bytes(device) or 0
        others = max(0, used - device.own_bytes)
        own = device.own_bytes
        if device.makes_room:
            own = max(0, min(own, total - others - device.wanted_bytes))
        ends = min(1.0, others / total), min(1.0, (others + own) / total)
        wanted = min(1.0, (others + own + device.wanted_bytes) / total)
        return *ends, wanted, short_bytes(device) > 0

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        others, used, wanted, short = self.shares()
        shape = QPainterPath()
        shape.addRoundedRect(whole, HEIGHT / 2, HEIGHT / 2)
        painter.setClipPath(shape)
        painter.fillRect(whole, theme.color("sunken"))
        paint_part(painter, _slice(whole, 0.0, others), "used")
        if used > others:
            paint_part(painter, _slice(whole, others, used), "own")
        if wanted > used:
            paint_part(painter, _slice(whole, used, wanted), "short" if short else "wanted")
        elif short:  # nothing is free: the lack still shows at the end
            paint_part(painter, _slice(whole, 0.97, 1.0), "short")
        painter.setClipping(False)
        painter.setPen(theme.color("outline"))
        painter.drawPath(shape)


def _slice(whole: QRectF, start: float, end: float) -> QRectF:
    return QRectF(whole.left() + whole.width() * start, whole.top(), whole.width() * (end - start), whole.height())


def paint_part(painter: QPainter, rect: QRectF, part: Part) -> None:
    """Fill a rectangle as the bar shows that part; what does not fit is hatched, and our own is striped."""
    ground = {"used": "outline", "own": "here", "wanted": "accent", "short": "danger", "left": "sunken"}[part]
    painter.fillRect(rect, theme.color(ground))
    if part in ("short", "own"):
        way = Qt.BrushStyle.BDiagPattern if part == "short" else Qt.BrushStyle.Dense6Pattern
        painter.fillRect(rect, QBrush(theme.color("surface"), way))


class Swatch(QWidget):
    """A sample of one part of the bar, beside its words."""

    def __init__(self) -> None:
        super().__init__()
        self._part: Part = "used"
        self.setFixedSize(SWATCH, SWATCH)

    def show_part(self, part: Part) -> None:
        if part != self._part:
            self._part = part
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        paint_part(painter, rect, self._part)
        painter.setPen(theme.color("outline"))
        painter.drawRect(rect)


class LegendLine(QWidget):
    """Up to four parts in words, each with its sample, on one line."""

    def __init__(self) -> None:
        super().__init__()
        # The names of programs and models may be cut, figures may not.
        named = [parts.Elided(role="caption", tone="muted") for _ in range(2)]
        for each in named:
            each.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        others = [parts.label(role="caption", tone="muted") for _ in range(2)]
        self._entries = [(Swatch(), words) for words in (*named, *others)]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.HAIR + 2)
        for swatch, words in self._entries:
            words.setContentsMargins(0, 0, theme.TIGHT, 0)  # goes away with the words
            layout.addWidget(swatch)
            layout.addWidget(words)
        layout.addStretch(1)

    def show_parts(self, said: list[tuple[Part, str]], tip: str) -> None:
        """The second place is that of a model of ours."""
        left = list(said)
        figure = self.fontMetrics().horizontalAdvance("000 GiB in use")
        for at, (swatch, words) in enumerate(self._entries):
            shown = bool(left) and (at != 1 or left[0][0] == "own")
            if shown:
                part, text = left.pop(0)
                swatch.show_part(part)
                words.setText(text)
                words.setMinimumWidth(min(words.sizeHint().width(), figure) if at < 2 else 0)
                parts.set_tip(words, tip)
                parts.set_tone(words, "danger" if part == "short" else "muted")
            swatch.setVisible(shown)
            words.setVisible(shown)


class DevicePanel(QWidget):
    """A device: its name and free memory, the bar, and the parts in words. `compact` leaves the last line out."""

    def __init__(self, *, compact: bool = False) -> None:
        super().__init__()
        self._name = parts.Elided(role="strong")
        self._free = parts.label(role="caption" if compact else "body")
        self._bar = MemoryBar()
        self._legend = LegendLine()
        self._compact = compact
        self._shown: tuple[DeviceBar, str, str] | None = None
        top = QHBoxLayout()
        top.setSpacing(theme.TIGHT)
        top.addWidget(self._name, 1)
        top.addWidget(self._free)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.HAIR)
        layout.addLayout(top)
        layout.addWidget(self._bar)
        if not compact:
            layout.addWidget(self._legend)

    def show_device(self, device: DeviceBar, name: str, wanted_by: str) -> None:
        if (device, name, wanted_by) == self._shown:
            return
        self._shown = (device, name, wanted_by)
        self._name.setText(name)
        self._free.setText(_compact_free(device) if self._compact else headline(device))
        self._bar.setVisible(device.total_bytes is not None)
        self._bar.show_device(device)
        said = legend(device, wanted_by)
        if self._compact:
            parts.set_tone(self._free, "danger" if short_bytes(device) else "")
        else:
            short = [part for part in said if part[0] != "left"] if device.own_bytes else said  # no room for four
            self._legend.show_parts(short, details(device))
        parts.set_tip(self, details(device))
        told = bool(device.in_use_by or device.own_bytes)  # more than the words beside the bar say
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus if told else Qt.FocusPolicy.NoFocus)
        plain = device.kind == "gpu" and not device.shared  # the names of the others say what they are
        self.setAccessibleName(f"{f'{kind_words(device)}, ' if plain else ''}{name}: {headline(device)}")
        self.setAccessibleDescription(". ".join([*(words for _, words in said), *details(device).split("\n")[1:]]))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Who holds the memory is told by keyboard too."""
        super().focusInEvent(event)
        parts.bring_into_sight(self)
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason):
            QToolTip.showText(self.mapToGlobal(self.rect().bottomLeft()), self.toolTip(), self)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        QToolTip.hideText()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)


def _compact_free(device: DeviceBar) -> str:
    short = short_bytes(device)
    if short:
        return f"{fmt.byte_size(short)} short"
    return f"{fmt.byte_size(device.free_bytes)} free"
