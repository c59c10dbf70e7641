"""What every test gets: a home of its own, a clean environment, no network beyond loopback, no window left behind.

It must import where PySide6 and pytest-qt are absent, because tests of backends and resources run there too.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

_QT = importlib.util.find_spec("PySide6") is not None and importlib.util.find_spec("pytestqt") is not None
_FOREIGN = re.compile(r".*_API_KEY|.*_proxy|OPENAI_.*|TOGETHER_.*|NEARFAR_.*|HF_.*|NOTIFY_SOCKET", re.IGNORECASE)
_FAILED = pytest.StashKey[bool]()

try:
    socket.getaddrinfo("localhost", 80)
except socket.gaierror:  # as in a chroot without /etc/hosts
    _by_system = socket.getaddrinfo

    def _by_us(host: Any, *args: Any, **kwargs: Any) -> Any:
        return _by_system("127.0.0.1" if host in ("localhost", b"localhost") else host, *args, **kwargs)

    socket.getaddrinfo = _by_us

# PySide6's import hook looks into every module that is imported after it, which pydantic's lazy ones do not survive.
importlib.import_module("pydantic.types")

if _QT:
    # Two screens, a usual one and one as small as a laptop's at 200 %.
    os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={Path(__file__).with_name('screens.json')}"
    os.environ["QT_SCALE_FACTOR"] = "1"
    os.environ.pop("QT_QPA_PLATFORMTHEME", None)
for _name in [name for name in os.environ if _FOREIGN.fullmatch(name)]:
    del os.environ[_name]
# No test reads or writes the keyring of whoever runs it; one that needs a keyring starts its own.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where pytest-qt is absent, its settings in pyproject.toml must still be known."""
    if not _QT:
        for setting in ("qt_api", "qt_log_level_fail"):
            parser.addini(setting, "Used by pytest-qt where Qt is installed.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers a failure, since its traceback keeps windows alive that the test itself would have let go."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the files of whoever runs it."""
    home = tmp_path / "nearfar-home"
    monkeypatch.setenv("NEARFAR_HOME", str(home))
    return home


class _Gate:
    """Refuses every connection and name lookup beyond loopback, and remembers that it had to.

    It listens to Python's audit events, so that no library is too deep for it. The error alone would not do: code that
    handles a dead network would swallow it.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = args[1]
            host = address[0] if isinstance(address, tuple) and address else None
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            host = args[0]
        else:
            return
        if isinstance(host, bytes):
            host = host.decode(errors="replace")
        if isinstance(host, str) and not _is_near(host):
            self.refused.append(host)
            raise ConnectionRefusedError(f"tests may not leave this machine: {host}")


def _is_near(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


_gate = _Gate()
sys.addaudithook(_gate)


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Fails a test that tried to leave this machine, whatever its code made of the refusal."""
    _gate.refused.clear()
    yield
    refused, _gate.refused = _gate.refused, []
    assert not refused, f"this test tried to reach {', '.join(refused)}"


@pytest.fixture(autouse=True)
def _no_window_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a top-level widget alive, and names it."""
    before = _windows()
    yield
    left = [window for window in _windows() if window not in before]
    if left and not request.node.stash.get(_FAILED, False):
        names = ", ".join(f"{type(window).__name__} {window.objectName()!r}".strip() for window in left)
        pytest.fail(f"top-level widgets left alive: {names}. Use qtbot.addWidget, or give the widget a parent.")


def _windows() -> list[Any]:
    """The parentless widgets that are alive now; none where no test has made an application yet."""
    widgets = sys.modules.get("PySide6.QtWidgets")
    if not widgets or not widgets.QApplication.instance():
        return []
    core = sys.modules["PySide6.QtCore"]
    found = _parentless(widgets)
    if found:
        del found
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)
        gc.collect()
    return _parentless(widgets)


def _parentless(widgets: Any) -> list[Any]:
    return [window for window in widgets.QApplication.topLevelWidgets() if window.parent() is None]


if _QT:

    @pytest.fixture(scope="session")
    def qapp(qapp: QApplication) -> QApplication:
        """pytest-qt's application, with one font everywhere so that pictures and sizes agree between machines."""
        from PySide6.QtGui import QFont

        qapp.setFont(QFont("DejaVu Sans", 10))
        return qapp
