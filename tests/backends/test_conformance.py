"""Both engines, held to the same promises: a real worker, and the real SDK against a real llama.cpp server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from backends.cloud.practice import PracticeEngine, PracticeServer
from backends.egress import Egress
from backends.engine import Engine
from backends.local.engine import LocalEngine
from backends.records import Target
from backends.targets import DEMO, PRACTICE
from tests.backends.conformance import EngineConformance
from tests.gguf_factory import write_script

# Spells thirty words, then goes round for ever, so that every token limit and every moment of a cancel can be reached.
WORDS = tuple(f" w{number}".encode() for number in range(30))


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_script(tmp_path_factory.mktemp("models") / "endless.gguf", WORDS, loop_to=0)


class TestLocalEngine(EngineConformance):
    @pytest_asyncio.fixture
    async def engine(self, endless_model: Path) -> AsyncIterator[Engine]:
        engine = LocalEngine(endless_model)
        yield engine
        await engine.close()

    @pytest.fixture
    def target(self) -> Target:
        return DEMO


class TestCloudEngine(EngineConformance):
    @pytest_asyncio.fixture
    async def engine(self, endless_model: Path) -> AsyncIterator[Engine]:
        engine = PracticeEngine(PracticeServer(endless_model), egress=Egress())
        yield engine
        await engine.close()

    @pytest.fixture
    def target(self) -> Target:
        return PRACTICE
