"""Real loads on stand-in GPUs: the right cards, in the right proportion, and a report of what landed where."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backends.events import Failed, Loaded
from backends.local.facts import DeviceRef
from backends.records import EngineReport
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import HELLO_TEXT, SPELLED, answer, ask
from tests.gguf_factory import Shape, write_random
from tests.stand_in_gpu import GIB, Card, compiled, worker_with

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
MIB = 2**20
SIX_LAYERS = Shape(n_layers=6)
TWINS = (
    Card("NVIDIA GeForce RTX 3090", pci_id="0000:01:00.0"),
    Card("NVIDIA GeForce RTX 4090", pci_id="0000:41:00.0"),
    Card("NVIDIA GeForce RTX 3090", pci_id="0000:c1:00.0"),
)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="session")
def six(models: Path) -> Path:
    return write_random(models / "six.gguf", SIX_LAYERS)


async def loaded(
    make_engine: MakeEngine, path: Path, library: Path, cards: Sequence[Card], **options: Any
) -> EngineReport:
    recorder = await ask(make_engine(path, command=worker_with(library, cards), **options), max_tokens=1)
    assert recorder.of(Loaded), recorder.end
    return recorder.of(Loaded)[0].report


def layers(report: EngineReport) -> list[tuple[str, int]]:
    return [(part.device, part.layers) for part in report.parts]


async def test_the_worker_tells_each_card_with_its_bus_id(make_engine: MakeEngine, library: Path, tiny: Path) -> None:
    facts = await make_engine(tiny, command=worker_with(library, TWINS)).probe()
    gpus = [device for device in facts.devices if device.kind == "gpu"]
    assert [gpu.name for gpu in gpus] == ["CUDA0", "CUDA1", "CUDA2"]
    assert [gpu.pci_id for gpu in gpus] == ["0000:01:00.0", "0000:41:00.0", "0000:c1:00.0"]
    assert gpus[1].free_bytes == 24 * GIB
    assert facts.gpu_offload


async def test_layers_go_to_the_chosen_cards_in_proportion(make_engine: MakeEngine, library: Path, six: Path) -> None:
    """NVML writes bus ids its own way; llama.cpp's own order of the cards is another than ours."""
    chosen = (DeviceRef(pci_id="00000000:C1:00.0"), DeviceRef(pci_id="00000000:41:00.0"))
    report = await loaded(make_engine, six, library, TWINS, devices=chosen, tensor_split=(5.0, 2.0))
    assert layers(report) == [("CUDA2", 5), ("CUDA1", 2), ("CPU", 0)]
    assert [part.pci_id for part in report.parts] == ["0000:c1:00.0", "0000:41:00.0", None]
    assert report.gpu_layers == report.n_layers == 7


async def test_what_the_cards_do_not_take_stays_on_the_host(make_engine: MakeEngine, library: Path, six: Path) -> None:
    chosen = (DeviceRef(name="CUDA0"), DeviceRef(name="CUDA1"))
    report = await loaded(make_engine, six, library, TWINS, devices=chosen, tensor_split=(1.0, 3.0), n_gpu_layers=4)
    assert layers(report) == [("CUDA0", 1), ("CUDA1", 3), ("CPU", 3)]
    kv = [part.kv_bytes for part in report.parts]
    assert kv == [kv[0], 2 * (kv[0] or 0), 3 * (kv[0] or 0)], "a layer of KV cache each, none for the output"


async def test_parts_add_up_to_the_whole(make_engine: MakeEngine, library: Path, six: Path) -> None:
    report = await loaded(make_engine, six, library, TWINS)
    assert sum(part.weights_bytes or 0 for part in report.parts) == pytest.approx(report.weights_bytes, abs=MIB / 10)
    assert sum(part.kv_bytes or 0 for part in report.parts) == pytest.approx(report.kv_bytes, abs=MIB / 10)
    assert sum(part.layers for part in report.parts) == 7


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        (DeviceRef(pci_id="0000:41:00.0", name="CUDA0"), "CUDA1"),
        (DeviceRef(name="CUDA2"), "CUDA2"),
        (DeviceRef(description="NVIDIA GeForce RTX 3090"), "CUDA0"),
        (DeviceRef(description="NVIDIA GeForce RTX 3090", ordinal=2), "CUDA2"),
    ],
    ids=["bus id before name", "name", "description", "second of that description"],
)
async def test_a_card_is_found(
    ref: DeviceRef, expected: str, make_engine: MakeEngine, library: Path, six: Path
) -> None:
    report = await loaded(make_engine, six, library, TWINS, devices=(ref,))
    assert layers(report) == [(expected, 7), ("CPU", 0)]


async def test_a_card_without_a_bus_id_is_found_by_name(make_engine: MakeEngine, library: Path, six: Path) -> None:
    ref = DeviceRef(pci_id="0000:01:00.0", name="CUDA1", description="Other")
    report = await loaded(make_engine, six, library, [Card("A"), Card("B")], devices=(ref,))
    assert layers(report)[0] == ("CUDA1", 7)


@pytest.mark.parametrize(
    "ref",
    [
        DeviceRef(pci_id="0000:99:00.0", name="CUDA0", description="NVIDIA GeForce RTX 3090"),
        DeviceRef(name="CUDA7", description="NVIDIA RTX 6000"),
        DeviceRef(description="NVIDIA GeForce RTX 4090", ordinal=2),
    ],
)
async def test_a_card_that_is_not_there_is_said(
    ref: DeviceRef, make_engine: MakeEngine, library: Path, six: Path
) -> None:
    """Another card in its place would be worse than none: it was not asked whether it has room."""
    recorder = await ask(make_engine(six, command=worker_with(library, TWINS), devices=(ref,)))
    assert isinstance(recorder.end, Failed)
    assert f"llama.cpp does not see {ref.description}" in recorder.end.problem.what


async def test_no_card_at_all_can_be_asked_for(make_engine: MakeEngine, library: Path, six: Path) -> None:
    report = await loaded(make_engine, six, library, TWINS, devices=())
    assert layers(report) == [("CPU", 7)]
    assert report.device == "CPU"


async def test_a_model_answers_the_same_over_two_cards(
    make_engine: MakeEngine, library: Path, hello: Path, endless: Path
) -> None:
    chosen = (DeviceRef(name="CUDA0"), DeviceRef(name="CUDA1"))
    command = worker_with(library, TWINS)
    assert (
        await answer(make_engine(hello, command=command, devices=chosen, tensor_split=(1.0, 1.0)))
    ).text == HELLO_TEXT
    engine = make_engine(endless, command=command, devices=chosen, tensor_split=(1.0, 1.0))
    said = await answer(engine, max_tokens=10)
    assert said.text == "".join(SPELLED[i % 5].decode() for i in range(10))


async def test_a_card_that_is_full_is_said_in_words(make_engine: MakeEngine, library: Path, six: Path) -> None:
    full = [Card(free_bytes=MIB // 4, total_bytes=GIB)]
    recorder = await ask(make_engine(six, command=worker_with(library, full)))
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "model_unusable"
    assert "not enough memory" in recorder.end.problem.what
