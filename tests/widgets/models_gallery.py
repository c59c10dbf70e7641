"""Grabs the Models page in many states to PNG files: `python -m tests.widgets.models_gallery FOLDER [NAME...]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QApplication

from tests.widgets import model_samples as ms
from tests.widgets import samples
from tests.widgets.gallery import MEDIUM, grab
from widgets import icons, theme
from widgets.main_window import MainWindow
from widgets.model_values import MachineView, ModelsView
from widgets.models_head import ON_DISK
from widgets.models_page import ModelsPage
from widgets.values import ThemeChoice

LEAST, LARGE = QSize(800, 560), QSize(1680, 1050)
Build = Callable[[ModelsPage], None]


def shows(view: ModelsView) -> Build:
    return lambda page: page.show_view(view, samples.NOW)


def selected(page: ModelsPage) -> None:
    ref = "llama-3.3-70b:Q3_K_M"
    page.show_view(ms.on_4090(), samples.NOW)
    page.select(ref)
    page.show_view(ms.wanted(ms.on_4090(), ref), samples.NOW)


def too_large(page: ModelsPage) -> None:
    ref = "llama-3.1-405b:Q4_K_M"
    view = ms.on_4090()
    page.show_view(view, samples.NOW)
    page.select(ref)
    page.show_view(ms.wanted(view, ref), samples.NOW)


def own_loaded(page: ModelsPage) -> None:
    view = ms.on_4090()
    gpu = replace(view.machine.devices[0], own_bytes=4 * ms.GIB, own_name="llama-3.2-3b:Q8_0", makes_room=True)
    machine = replace(view.machine, devices=(gpu, *view.machine.devices[1:]))
    page.show_view(replace(view, machine=machine), samples.NOW)


def asking(page: ModelsPage) -> None:
    selected(page)
    view = page._view
    ref = view.wanted_ref
    rows = tuple(replace(row, asking=True) if row.ref == ref else row for row in view.rows)
    page.show_view(replace(view, rows=rows), samples.NOW)


def on_disk(page: ModelsPage) -> None:
    page.show_view(ms.on_4090(), samples.NOW)
    page.show_section(ON_DISK)


def disk_empty(page: ModelsPage) -> None:
    page.show_view(ms.without_gpu(), samples.NOW)
    page.show_section(ON_DISK)


def scrolled(page: ModelsPage) -> None:
    selected(page)
    QApplication.processEvents()
    bar = page._scroll.verticalScrollBar()
    bar.setValue(bar.maximum())


def dropping(page: ModelsPage) -> None:
    page.show_view(ms.on_4090(), samples.NOW)
    page._drop.show()
    page._drop.raise_()


STATES: dict[str, tuple[Build, QSize]] = {
    "models-4090": (shows(ms.on_4090()), MEDIUM),
    "models-4090-large": (selected, LARGE),
    "models-4090-least": (shows(ms.on_4090()), LEAST),
    "models-4090-least-foot": (scrolled, LEAST),
    "models-selected": (selected, MEDIUM),
    "models-too-large": (too_large, MEDIUM),
    "models-two-3090": (shows(ms.on_two_3090()), MEDIUM),
    "models-no-gpu": (shows(ms.without_gpu()), MEDIUM),
    "models-h100": (shows(ms.on_eight_h100()), MEDIUM),
    "models-h100-least": (shows(ms.on_eight_h100()), LEAST),
    "models-own": (own_loaded, MEDIUM),
    "models-asking": (asking, MEDIUM),
    "models-nothing": (shows(ms.nothing_fits()), MEDIUM),
    "models-looking": (shows(ModelsView()), MEDIUM),
    "models-shared": (shows(replace(ms.on_4090(), machine=ms.SHARED, rows=())), MEDIUM),
    "models-problem": (shows(replace(ms.on_4090(), machine=ms.BUILD_PROBLEM)), MEDIUM),
    "models-downloads": (shows(replace(ms.on_4090(), downloads=ms.DOWNLOADS)), MEDIUM),
    "models-downloads-least": (shows(replace(ms.on_4090(), downloads=ms.DOWNLOADS)), LEAST),
    "models-local-only": (shows(replace(ms.without_gpu(), local_only=True)), MEDIUM),
    "models-disk": (on_disk, MEDIUM),
    "models-disk-least": (on_disk, LEAST),
    "models-disk-empty": (disk_empty, MEDIUM),
    "models-drop": (dropping, MEDIUM),
    "models-no-machine": (shows(replace(ms.on_4090(), machine=MachineView())), MEDIUM),
}


class ShownModels:
    """The window with the Models page alone."""

    def __init__(self) -> None:
        self.window = MainWindow()
        self.page = ModelsPage()
        self.window.add_page("models", "Models", "cube", self.page)
        self.window.show_devices((samples.GPU, samples.CPU))
        self.window.show_privacy(samples.QUIET)


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    scale = os.environ.get("QT_SCALE_FACTOR", "1")
    choices: tuple[ThemeChoice, ...] = ("light", "dark")
    for choice in choices:
        if os.environ.get("ONLY", choice) != choice:
            continue
        theme.apply(app, choice)
        icons.load()
        for name, (build, size) in STATES.items():
            if names and name not in names:
                continue
            shown = ShownModels()
            shown.window.resize(size)
            shown.window.show()
            app.processEvents()
            build(shown.page)
            grab(app, shown.window, folder / f"{name}-{choice}-{scale}x.png")
            shown.window.close()


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main(Path(sys.argv[1]), sys.argv[2:])
