"""Adding a repo: what counts as its name, the listing, and that nobody is contacted before the person says so."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton
from pytestqt.qtbot import QtBot

from tests.widgets import assistant_samples as told
from widgets.choice_card import ChoiceCard
from widgets.repo_dialog import AddRepoDialog
from widgets.repo_name import NotARepo, RepoName, read_repo

REPO = "bartowski/Llama-3.2-3B-Instruct-GGUF"


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        (REPO, ""),
        (f"  {REPO}/ ", ""),
        (f"hf:{REPO}", ""),
        (f"hf:{REPO}/a.gguf", "a.gguf"),
        (f"https://huggingface.co/{REPO}", ""),
        (f"http://www.huggingface.co/{REPO}/tree/main", ""),
        (f"https://hf.co/{REPO}?library=gguf#files", ""),
        (f"huggingface.co/{REPO}", ""),
        (f"https://huggingface.co/{REPO}/blob/main/b%20c/x.gguf", "b c/x.gguf"),
        (f"https://huggingface.co/{REPO}/resolve/0123abc/x.gguf?download=true", "x.gguf"),
    ],
)
def test_names_and_addresses_lead_to_a_repo(typed: str, file: str) -> None:
    assert read_repo(typed) == RepoName(REPO, file)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "OWNER/REPO"),
        ("llama", "OWNER/REPO"),
        ("../../etc/passwd", "OWNER/REPO"),
        ("owner/..", "OWNER/REPO"),
        ("owner/a..b", "OWNER/REPO"),
        ("own er/repo", "OWNER/REPO"),
        ("owner/r\u00e9po", "OWNER/REPO"),
        ("C:\\models\\x.gguf", "OWNER/REPO"),
        ("https://example.com/owner/repo", "address on example.com"),
        ("https://huggingface.co.evil.example/owner/repo", "address on huggingface.co.evil.example"),
        ("https://huggingface.co@evil.example/owner/repo", "address on evil.example"),
        ("file:///etc/passwd", "no host"),
        ("https://[", "cannot be read"),
        ("https://huggingface.co/datasets/owner/repo", "not a repo of models"),
        ("https://huggingface.co/owner/%2e%2e", "OWNER/REPO"),
        ("a" * 3000, "too long"),
    ],
)
def test_what_is_no_repo_gets_a_sentence(typed: str, why: str) -> None:
    with pytest.raises(NotARepo, match=why):
        read_repo(typed)


class Opened:
    def __init__(self, dialog: AddRepoDialog) -> None:
        self.dialog = dialog
        self.heard: list[tuple[str, str]] = []
        dialog.lookup_requested.connect(lambda repo: self.heard.append(("lookup", repo)))
        dialog.download_requested.connect(lambda ref: self.heard.append(("download", ref)))
        dialog.lookup_cancelled.connect(lambda: self.heard.append(("cancelled", "")))

    def field(self) -> QLineEdit:
        found = self.dialog.findChild(QLineEdit)
        assert found is not None
        return found

    def text(self) -> str:
        return " ".join(label.text() for label in self.dialog.findChildren(QLabel) if label.isVisibleTo(self.dialog))

    def button(self, starts: str) -> QPushButton:
        return next(b for b in self.dialog.findChildren(QPushButton) if b.text().startswith(starts))

    def cards(self) -> list[ChoiceCard]:
        return [card for card in self.dialog.findChildren(ChoiceCard) if card.isVisibleTo(self.dialog)]


@pytest.fixture
def opened(dressed: None, qtbot: QtBot) -> Opened:
    dialog = AddRepoDialog()
    qtbot.addWidget(dialog)
    with qtbot.waitActive(dialog):
        dialog.open()
        dialog.activateWindow()
    return Opened(dialog)


def test_typing_contacts_nobody_and_says_who_would_be(opened: Opened, qtbot: QtBot) -> None:
    assert "asks huggingface.co" in opened.text()
    assert "none of your prompts or answers is sent" in opened.text()
    assert not opened.button("Look up").isEnabled()
    qtbot.keyClicks(opened.field(), REPO)
    assert opened.heard == []
    qtbot.keyClick(opened.field(), Qt.Key.Key_Return)
    assert opened.heard == [("lookup", REPO)]


def test_a_wrong_name_is_explained_and_stays_in_the_field(opened: Opened, qtbot: QtBot) -> None:
    qtbot.keyClicks(opened.field(), "https://example.com/a/b")
    qtbot.keyClick(opened.field(), Qt.Key.Key_Return)
    assert "only repos of huggingface.co can be added" in opened.text()
    assert opened.field().text() == "https://example.com/a/b"
    assert opened.heard == []


def test_one_file_is_chosen_and_downloaded(opened: Opened, qtbot: QtBot) -> None:
    opened.dialog.type_repo(REPO)
    qtbot.keyClick(opened.field(), Qt.Key.Key_Return)
    opened.dialog.show_listing(told.REPO_FILES)
    assert f"{REPO}: 4 model files. Choose one." in opened.text()
    assert [card.isChecked() for card in opened.cards()] == [False] * 4, "nothing is preselected"
    assert not opened.button("Download").isEnabled()
    words = opened.cards()[3].accessibleName()
    assert words == "odd.gguf, quant unknown, size unknown, the hub gives no checksum for it"
    qtbot.mouseClick(opened.cards()[2], Qt.MouseButton.LeftButton)
    qtbot.keyClick(opened.cards()[2], Qt.Key.Key_Return)
    assert opened.heard == [("lookup", REPO), ("download", "hf:o/r/m-F16.gguf")]
    assert not opened.dialog.isVisible()


def test_the_file_that_the_pasted_address_led_to_is_chosen(opened: Opened) -> None:
    opened.dialog.type_repo(f"https://huggingface.co/{REPO}/blob/main/Llama-3.2-3B-Instruct-Q8_0.gguf")
    opened.dialog.look_up()
    opened.dialog.show_listing(told.REPO_FILES)
    assert [card.isChecked() for card in opened.cards()] == [False, True, False, False]
    assert opened.button("Download").text() == "Download 3.19 GiB"


def test_another_name_takes_the_old_listing_away(opened: Opened, qtbot: QtBot) -> None:
    opened.dialog.type_repo(REPO)
    opened.dialog.look_up()
    opened.dialog.show_listing(told.REPO_FILES)
    opened.cards()[0].click()
    opened.dialog.type_repo("other/repo")
    assert opened.cards() == []
    assert not opened.button("Download").isEnabled()


def test_waiting_can_be_stopped_and_closing_stops_it_too(opened: Opened, qtbot: QtBot) -> None:
    opened.dialog.type_repo(REPO)
    opened.dialog.look_up()
    assert "Asking huggingface.co" in opened.text()
    qtbot.mouseClick(opened.button("Stop"), Qt.MouseButton.LeftButton)
    assert opened.heard[1:] == [("cancelled", "")]
    opened.dialog.look_up()
    qtbot.keyClick(opened.dialog, Qt.Key.Key_Escape)
    assert opened.heard[2:] == [("lookup", REPO), ("cancelled", "")]


def test_problems_and_empty_repos_are_said_and_the_name_stays(opened: Opened) -> None:
    opened.dialog.type_repo(REPO)
    opened.dialog.look_up()
    opened.dialog.show_problem(told.NO_NETWORK)
    assert "huggingface.co does not answer." in opened.text()
    assert opened.button("Look up").isEnabled()
    opened.dialog.look_up()
    assert "does not answer" not in opened.text()
    opened.dialog.show_listing(())
    assert "holds no GGUF files" in opened.text()
    assert opened.field().text() == REPO
