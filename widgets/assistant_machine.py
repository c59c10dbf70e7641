"""Step one of the first-start assistant: what this machine has, in plain words. Must not know how it was found."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractButton, QWidget

from widgets import model_words as words
from widgets import parts
from widgets.assistant_step import Step
from widgets.assistant_values import AssistantView
from widgets.busy_bar import BusyBar
from widgets.machine_card import MachineCard
from widgets.model_values import MachineView

LOOKING = "Looking at graphics card, processor and memory. You need not wait: go on whenever you like."
NO_GPU = "No graphics card that models can use: models run on the processor, slower."
TROUBLE = "Something keeps Nearfar from using all of it; the fix is below."
PURPOSE = "Nearfar asks models on this machine and in the cloud the same question, and compares them for you."


def summary(machine: MachineView) -> str:
    """What it means for models, in a sentence or two."""
    gpus = [device for device in machine.devices if device.kind == "gpu"]
    if not machine.devices:
        return LOOKING
    if not gpus:
        says = NO_GPU
    elif machine.problems:
        has = (
            f"a graphics card, {words.short_device(gpus[0].name)}" if len(gpus) == 1 else f"{len(gpus)} graphics cards"
        )
        says = f"This machine has {has}."
    elif len(gpus) == 1:
        says = f"Models can run on your graphics card, {words.short_device(gpus[0].name)}, which is the fast way."
    else:
        says = f"Models can run on your {len(gpus)} graphics cards, and a large one can be shared between them."
    return f"{says} {TROUBLE}" if machine.problems else says


def details(machine: MachineView) -> str:
    """What else is known of each device, for those who want to know: bandwidth above all, which sets the speed."""
    named = zip(words.device_names([device.name for device in machine.devices]), machine.devices, strict=True)
    return "\n".join(f"{name}: {device.detail}" for name, device in named if device.detail)


class MachineStep(Step):
    """`fix_copied` carries a command that the person copied."""

    fix_copied = Signal(str)
    title = "Your machine"
    heading = "Welcome to Nearfar"

    def __init__(self) -> None:
        super().__init__()
        self._summary = parts.label(LOOKING, "strong", wrap=True)
        self._details = parts.label("", "caption", "muted", wrap=True)
        self._bar = BusyBar("Looking at this machine")
        self._card = MachineCard()
        self._card.fix_copied.connect(self.fix_copied)
        self.body.addWidget(parts.label(PURPOSE, wrap=True))
        for made in (self._summary, self._bar, self._card, self._details):
            self.body.addWidget(made)

    def show_view(self, view: AssistantView) -> None:
        self._summary.setText(summary(view.machine))
        looking = not view.machine.devices
        self._bar.setVisible(looking)
        self._card.setVisible(not looking)
        self._card.show_machine(view.machine, "")
        self._details.setText(details(view.machine))
        self._details.setVisible(bool(self._details.text()))

    def tab_stops(self) -> list[QWidget]:
        return list(self._card.findChildren(QAbstractButton))
