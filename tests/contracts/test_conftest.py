"""The nets under every test catch what they are for. Each is shown a test that it must fail, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.places import ROOT

GOOD = """
def test_home(tmp_path):
    import os
    assert os.environ["NEARFAR_HOME"].startswith(str(tmp_path))

def test_environment():
    import os
    assert not [name for name in os.environ if name in ("OPENAI_API_KEY", "https_proxy", "NEARFAR_OPENAI_BASE_URL")]
    assert os.environ["QT_QPA_PLATFORM"].startswith("offscreen:")

def test_font(qapp):
    from PySide6.QtGui import QFontInfo
    assert QFontInfo(qapp.font()).family() == "DejaVu Sans"

def test_window(qtbot):
    from PySide6.QtWidgets import QComboBox, QWidget
    window = QWidget()
    QComboBox(window).addItem("one")
    qtbot.addWidget(window)
    window.show()

def test_loopback():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
        pass
    socket.getaddrinfo("127.0.0.1", 80)
"""

BAD = {
    "a window is left": """
        from PySide6.QtWidgets import QWidget
        kept = []
        def test(qapp):
            window = QWidget()
            window.setObjectName("forgotten")
            kept.append(window)
    """,
    "a connection leaves": """
        import socket
        def test():
            try:
                socket.create_connection(("192.0.2.1", 80), timeout=1)
            except OSError:
                pass
    """,
    "a name is looked up": """
        import socket
        def test():
            try:
                socket.getaddrinfo("api.openai.com", 443)
            except OSError:
                pass
    """,
    "Qt warns": """
        from PySide6.QtCore import qWarning
        def test(qapp):
            qWarning("something is wrong")
    """,
    "Python warns": """
        import warnings
        def test():
            warnings.warn("something is old", DeprecationWarning)
    """,
}
SAID = {
    "a window is left": "QWidget 'forgotten'",
    "a connection leaves": "192.0.2.1",
    "a name is looked up": "api.openai.com",
    "Qt warns": "something is wrong",
    "Python warns": "something is old",
}


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest over one file, with this repository's settings and nets."""
    test = folder / "test_shown.py"
    lines = source.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    test.write_text("\n".join(line[indent:] for line in lines), encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    foreign = {
        "OPENAI_API_KEY": "x",
        "https_proxy": "http://192.0.2.1:1",
        "NEARFAR_OPENAI_BASE_URL": "http://192.0.2.1",
    }
    argv += ["--rootdir", str(folder), str(test)]
    return subprocess.run(argv, cwd=ROOT, env={**os.environ, **foreign}, capture_output=True, text=True, check=False)


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("fault", BAD)
def test_what_is_forbidden_fails_and_is_named(tmp_path: Path, fault: str) -> None:
    done = run(tmp_path, BAD[fault])
    assert done.returncode == 1, done.stdout
    assert SAID[fault] in done.stdout
