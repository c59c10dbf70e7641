"""A proof that is not made proves nothing: where CI runs, one that skips has failed."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

MAY_SKIP = "core_file"  # whether a system writes core files, and where to, is its own choice


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    ours = Path(__file__).parent in item.path.parents
    if ours and report.skipped and os.environ.get("CI") and MAY_SKIP not in item.name:
        report.outcome = "failed"
        report.longrepr = f"skipped where CI runs: {report.longrepr}"
    return report
