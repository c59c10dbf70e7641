"""What tests of the window know of the platform they run on. Must not hide a warning of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

OFFSCREEN_LIMITS = r"^This plugin does not support"  # sizing dialogs, raising popups: said by Qt's offscreen platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every other Qt warning fails a test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.qt_log_ignore(OFFSCREEN_LIMITS))
