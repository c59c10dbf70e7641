"""Grabs the assistant and the dialogs of the model flows: `python -m tests.widgets.assistant_gallery FOLDER`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtWidgets import QApplication, QCheckBox, QWidget

from tests.widgets import assistant_samples as told
from tests.widgets import gallery, samples
from tests.widgets.gallery import LOCAL, Shown, grab
from widgets import icons, theme
from widgets.ask_dialog import ImportDialog, MoveFolderDialog, RemoveDialog
from widgets.assistant import Assistant
from widgets.assistant_values import AssistantView
from widgets.licence_dialog import LicenceDialog
from widgets.load_warning_dialog import LoadWarningDialog
from widgets.repo_dialog import AddRepoDialog
from widgets.token_dialog import TokenDialog
from widgets.values import LoadNote, TargetChoice, ThemeChoice


def assistant(view: AssistantView, step: int = 1) -> Assistant:
    made = Assistant()
    made.show_view(view)
    made.go_to(step)
    return made


def licence() -> QWidget:
    made = LicenceDialog(told.LICENCE, "Llama 3.1 8B Instruct, Q6_K", size_bytes=told.EIGHT.file_bytes)
    box = made.findChild(QCheckBox)
    assert box is not None
    box.setChecked(True)
    return made


def repo(state: str) -> AddRepoDialog:
    made = AddRepoDialog()
    made.type_repo(
        "https://huggingface.co/bartowski/Llama-3.2-3B-Instruct-GGUF/blob/main/Llama-3.2-3B-Instruct-Q8_0.gguf"
    )
    if state:
        made.look_up()
    if state == "listed":
        made.show_listing(told.REPO_FILES)
    elif state == "problem":
        made.show_problem(told.NO_NETWORK)
    return made


DIALOGS: dict[str, Callable[[], QWidget]] = {
    "looking": lambda: assistant(AssistantView()),
    "machine": lambda: assistant(told.FOUND),
    "machine-trouble": lambda: assistant(told.TROUBLED),
    "machine-no-gpu": lambda: assistant(told.NO_GPU),
    "weighing": lambda: assistant(replace(told.FOUND, offers=None), 2),
    "model": lambda: assistant(told.FOUND, 2),
    "model-local-only": lambda: assistant(replace(told.FOUND, local_only=True, folder_free_bytes=2**30), 2),
    "model-nothing": lambda: assistant(told.NOTHING_FITS, 2),
    "model-downloading": lambda: assistant(told.DOWNLOADING, 2),
    "model-asking": lambda: assistant(told.ASKING, 2),
    "model-ready": lambda: assistant(told.READY, 2),
    "model-failed": lambda: assistant(told.FAILED, 2),
    "licence": licence,
    "repo-typed": lambda: repo(""),
    "repo-busy": lambda: repo("busy"),
    "repo-listed": lambda: repo("listed"),
    "repo-problem": lambda: repo("problem"),
    "token": lambda: TokenDialog("meta-llama/Llama-3.1-8B-Instruct-GGUF"),
    "load-warning": lambda: LoadWarningDialog(told.WARNING),
    "remove": lambda: RemoveDialog(told.INSTALLED),
    "forget": lambda: RemoveDialog(told.FOREIGN),
    "import": lambda: ImportDialog(told.IMPORT),
    "move": lambda: MoveFolderDialog(told.MOVE),
}


def rail(shown: Shown) -> None:
    gallery.empty(shown)
    shown.window.add_page("models", "Models", "cube", QWidget())
    shown.window.show_download_progress(0.42, failed=False)


def rail_failed(shown: Shown) -> None:
    rail(shown)
    shown.window.show_download_progress(None, failed=True)


def settings(shown: Shown) -> None:
    shown.settings.show_settings(told.SETTINGS)
    shown.window.open_page("settings")


def settings_problem(shown: Shown) -> None:
    shown.settings.show_problem(told.NO_NETWORK)
    settings(shown)


def loading(shown: Shown) -> None:
    local = TargetChoice(LOCAL, "Llama 3.2 3B Instruct, Q4_K_M", size_bytes=2_019_377_696)
    shown.compare.set_targets((local, *samples.CHOICES))
    first, second = shown.lanes(LOCAL, LOCAL)
    shown.compare.begin()
    shown.compare.show_events(first, samples.opening(LOCAL, 0)[:2])
    shown.compare.show_events(second, samples.whole_run(LOCAL, samples.local_result(), 0))
    shown.compare.show_load(second, LoadNote(3_520_000_000, 3_610_000_000))


WINDOWS: dict[str, tuple[Callable[[Shown], None], tuple[int, int]]] = {
    "rail": (rail, (1280, 800)),
    "rail-failed": (rail_failed, (1024, 700)),
    "settings": (settings, (1280, 1250)),
    "settings-small": (settings, (800, 560)),
    "settings-problem": (settings_problem, (1024, 700)),
    "loading": (loading, (1280, 800)),
}


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    scale = os.environ.get("QT_SCALE_FACTOR", "1")
    choices: tuple[ThemeChoice, ...] = ("light", "dark")
    for choice in choices:
        theme.apply(app, choice)
        icons.load()
        for name, make in DIALOGS.items():
            if not names or name in names:
                made = make()
                grab(app, made, folder / f"{name}-{choice}-{scale}x.png")
                made.close()
        for name, (build, size) in WINDOWS.items():
            if not names or name in names:
                shown = Shown()
                shown.window.resize(*size)
                build(shown)
                shown.window.show()
                shown.settle()
                grab(app, shown.window, folder / f"{name}-{choice}-{scale}x.png")
                shown.window.close()


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main(Path(sys.argv[1]), sys.argv[2:])
