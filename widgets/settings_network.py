"""The Network section of the Settings page: a proxy, extra certificates, what was sent. Must not open connections."""

from __future__ import annotations

from urllib.parse import urlsplit

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.settings_rows import row, section
from widgets.values import SettingsView

PROXY_SAYS = (
    "Connections to other machines go through it; servers on this machine are never asked through it. "
    "Proxies that the system or the environment name are not used. Empty: no proxy."
)
PROXY_WRONG = "Write it as http://HOST:PORT, without a name or a password."
CA_SAYS = "A PEM file of certificate authorities, trusted besides those of the system, as a company network may need."
SENT_SAYS = "Every connection that was made, tried or refused: when, what for, with whom, and how many bytes."


def proxy_of(text: str) -> str | None:
    """The address as it is kept, None for no proxy; raises ValueError with a sentence."""
    address = text.strip()
    if not address:
        return None
    try:
        parts_of = urlsplit(address)
        usable = parts_of.scheme == "http" and bool(parts_of.hostname) and parts_of.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in address or parts_of.query or parts_of.fragment or parts_of.path not in ("", "/"):
        raise ValueError(PROXY_WRONG)
    return address.rstrip("/")


class NetworkSettings(QWidget):
    """`proxy_chosen` and `ca_chosen` carry an address and a path, or None; nothing is said while one is wrong."""

    proxy_chosen = Signal(object)
    ca_chosen = Signal(object)
    contacts_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._view = SettingsView()
        self._proxy = QLineEdit()
        self._proxy.setPlaceholderText("http://proxy.example:3128")
        self._proxy.setAccessibleName("Proxy")
        self._proxy.editingFinished.connect(self._proxy_typed)
        self._wrong = parts.label(role="caption", tone="danger", wrap=True)
        self._wrong.hide()
        self._file = parts.Elided()
        self._choose = parts.button("Choose…", "Choose a PEM file of certificate authorities")
        self._choose.clicked.connect(self._choose_file)
        self._drop = parts.button("Remove", "Trust the system's certificates alone", name="Remove the certificates")
        self._drop.clicked.connect(lambda: self.ca_chosen.emit(None))
        self._sent = parts.button("Show what was sent…", "Every connection since records are kept")
        self._sent.clicked.connect(self.contacts_requested)
        self._lay_out()

    def _lay_out(self) -> None:
        proxy = QWidget()
        field = parts.column(self._proxy, self._wrong, gap=theme.HAIR)
        field.setContentsMargins(0, 0, 0, 0)
        proxy.setLayout(field)
        certificates = QWidget()
        line = parts.row(self._file, self._choose, self._drop)
        line.setStretch(0, 1)
        line.setContentsMargins(0, 0, 0, 0)
        certificates.setLayout(line)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            section(
                "Network",
                [
                    row("Proxy", PROXY_SAYS, proxy, below=True),
                    row("Extra certificates", CA_SAYS, certificates, below=True),
                    row("What was sent", SENT_SAYS, self._sent),
                ],
            )
        )

    def show_settings(self, view: SettingsView) -> None:
        """Without a signal; what is being typed stays."""
        self._view = view
        if not self._proxy.hasFocus() and not self._wrong.isVisibleTo(self):
            self._proxy.setText(view.proxy_url or "")
        self._file.setText(view.ca_file or "None: the certificates of the system")
        self._file.setAccessibleName(f"Extra certificates: {view.ca_file or 'none'}")
        self._drop.setVisible(view.ca_file is not None)

    def problem_text(self) -> str:
        """What is wrong with the proxy as it is typed, or empty."""
        return self._wrong.text() if self._wrong.isVisibleTo(self) else ""

    def _proxy_typed(self) -> None:
        try:
            proxy = proxy_of(self._proxy.text())
        except ValueError as error:
            self._wrong.setText(str(error))
            self._wrong.show()
            return
        self._wrong.hide()
        if proxy != self._view.proxy_url:
            self.proxy_chosen.emit(proxy)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Choose certificates", "", "Certificates (*.pem *.crt *.cer);;All files (*)"
        )
        if path and path != self._view.ca_file:
            self.ca_chosen.emit(path)
