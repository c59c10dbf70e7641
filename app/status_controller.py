"""Keeps the top bar true: devices with their free memory, and what may be contacted. Must not start runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from app.engine_thread import EngineThread
from app.models_view import device_detail, holders
from backends.egress_policy import on_this_machine
from backends.errors import NearfarError
from backends.targets import parse_target
from backends.workbench import Workbench
from widgets.main_window import MainWindow
from widgets.values import DeviceLine, PrivacyState

if TYPE_CHECKING:
    from backends.devices.records import Device

BUSY_MS = 1000
IDLE_MS = 15_000


class StatusController(QObject):
    """Reads devices on the engine thread: once a second while runs are live, now and then while the window is
    idle, never while it is minimized. Who looks closer, as the Models page does, hands on what it read."""

    def __init__(
        self,
        window: MainWindow,
        engine: EngineThread,
        bench: Workbench,
        lane_targets: Callable[[], Iterable[str]] = tuple,
        other_hosts: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`lane_targets` gives the names of the targets that the lanes show now, `other_hosts` the machines that are
        contacted now for anything else, as for a model."""
        super().__init__(window)
        self._other_hosts = other_hosts
        self._lane_targets = lane_targets
        self._window = window
        self._engine = engine
        self._bench = bench
        self._reading = False
        self._timer = QTimer(self)
        self._timer.setInterval(IDLE_MS)
        self._timer.timeout.connect(self._look)

    @property
    def begun(self) -> bool:
        """True once the window was painted and the engine thread runs."""
        return self._timer.isActive()

    def begin(self) -> None:
        self._timer.start()
        self._look()

    def runs_changed(self, busy: bool) -> None:
        self._timer.setInterval(BUSY_MS if busy else IDLE_MS)
        self._look()

    def show_privacy(self) -> None:
        """What the lanes would contact, and what the network's own log says was contacted."""
        seen = self._bench.egress.snapshot()
        hosts = self._hosts(() if seen.local_only else seen.allowed_hosts)
        # Until the person has decided, nothing is contacted, but pressing Run on a lane that names a host decides.
        undecided = self._bench.settings.local_only is None
        self._window.show_privacy(
            PrivacyState(
                local_only=seen.local_only and not (undecided and hosts),
                hosts=hosts,
                connections=seen.connections,
                since=seen.since.astimezone(),
                contacted=seen.contacted_hosts,
                asked_for=seen.allowed_for if undecided else (),
            )
        )

    def _hosts(self, allowed: Iterable[str]) -> tuple[str, ...]:
        """The other machines that the lanes shown now would ask, those that are being asked, and whatever else the
        door would let pass, each once."""
        hosts: dict[str, None] = {}
        for name in self._lane_targets():
            try:
                endpoint = self._bench.access.endpoint(parse_target(name))
            except NearfarError:
                continue  # a lane without a usable address contacts nobody
            if endpoint is not None and endpoint.leaves_machine:
                hosts[endpoint.destination] = None
        away = [host for host in allowed if not on_this_machine(host)]
        return tuple(hosts | dict.fromkeys(self._other_hosts()) | dict.fromkeys(away))

    def _look(self) -> None:
        self.show_privacy()
        if self._reading or self._window.isMinimized():
            return
        self._reading = True
        self._engine.ask(self._bench.devices(), self.show_devices, lambda _error: None, self._was_read)

    def _was_read(self) -> None:
        self._reading = False

    def show_devices(self, devices: Iterable[Device]) -> None:
        """Devices as somebody has just read them."""
        self._window.show_devices([_line(device) for device in devices])


def _line(device: Device) -> DeviceLine:
    return DeviceLine(
        name=device.name,
        kind="cpu" if device.kind == "cpu" else "gpu",
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        detail=_detail(device),
    )


def _detail(device: Device) -> str:
    """Below the figures: if the memory is the computer's own, what is known of the device, who holds its memory."""
    shared = "shared with the computer's memory" if device.memory == "shared" else ""
    held = f"held by {', '.join(users)}" if (users := holders(device)) else ""
    return ", ".join(part for part in (shared, device_detail(device), held) if part)
