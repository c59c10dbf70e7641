"""The stand-in GPU, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stand_in_gpu import COMPILER, compiled


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library; skipped where there is no C compiler."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    return compiled(tmp_path_factory.mktemp("stand-in"))
