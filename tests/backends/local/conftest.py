"""Real tiny models, made once, and engines that are closed when a test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from tests.backends.local.driver import HELLO, SPELLED
from tests.gguf_factory import SHAPE_56M, write_random, write_script

MakeEngine = Callable[..., LocalEngine]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny(models: Path) -> Path:
    """Random weights, 512 tokens, 2 layers."""
    return write_random(models / "tiny.gguf")


@pytest.fixture(scope="session")
def hello(models: Path) -> Path:
    """Answers HELLO, then ends."""
    return write_script(models / "hello.gguf", HELLO)


@pytest.fixture(scope="session")
def endless(models: Path) -> Path:
    """Spells SPELLED over and over, until a context of 65,536 tokens is full."""
    return write_script(models / "endless.gguf", SPELLED, loop_to=0, n_ctx_train=65_536)


@pytest.fixture(scope="session")
def slow(models: Path) -> Path:
    """56 M random weights: a long prompt takes seconds."""
    return write_random(models / "slow.gguf", SHAPE_56M, kind="Q4_0")


@pytest_asyncio.fixture
async def make_engine() -> AsyncIterator[MakeEngine]:
    """Build engines from a path, load options as keywords, and `command`; all are closed at the end."""
    engines: list[LocalEngine] = []

    def make(path: Path, *, command: list[str] | None = None, **options: Any) -> LocalEngine:
        engines.append(LocalEngine(path, options=LoadOptions(**options), command=command))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.close()
