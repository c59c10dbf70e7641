"""Our formula and llama.cpp itself agree on what hundreds of loads take."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.events import Loaded
from backends.fit.memory import Layout
from backends.local.engine import LocalEngine
from backends.records import KvType
from tests.backends.fit.agreement import (
    CARDS,
    MIB,
    QUANT,
    SHAPES,
    Case,
    Row,
    gpu_cases,
    main_cases,
    measured,
    options,
    parallel_cases,
    quant_cases,
)
from tests.backends.local.driver import ask
from tests.gguf_shapes import write_sparse
from tests.stand_in_gpu import worker_with

ROPE_TABLE_BYTES = 256  # stands once on each device; the formula counts it to the first layer


def _said(row: Row) -> str:
    ours = [(need.layers, need.weights_bytes, need.kv_bytes, need.compute_bytes) for need in row.ours]
    theirs = [(each.layers, each.weights_bytes, each.kv_bytes, each.compute_bytes) for each in row.theirs.devices]
    return f"{row.case}: ours {ours}, llama.cpp's {theirs}"


@pytest.mark.parametrize(
    "cases",
    [main_cases(), gpu_cases(), quant_cases(), parallel_cases()],
    ids=["one GPU", "several", "quants", "many at once"],
)
async def test_formula_agrees_with_llama_cpp(cases: list[Case], stand_in: Path, tmp_path: Path) -> None:
    rows = [row async for row in measured(cases, tmp_path, stand_in)]
    assert len(rows) == len(cases)
    assert not [_said(row) for row in rows if not row.agrees]
    for row in rows:
        for our, their in zip(row.ours, row.theirs.devices, strict=True):
            assert our.weights_bytes == pytest.approx(their.weights_bytes, abs=ROPE_TABLE_BYTES), _said(row)
            assert our.kv_bytes == pytest.approx(their.kv_bytes, abs=MIB / 100), _said(row)


async def test_rows_of_logits_count_where_they_are_what_is_largest(stand_in: Path, tmp_path: Path) -> None:
    case = Case("1B", QUANT, Layout(), 256, "f16", 60, 64)
    (row,) = [row async for row in measured([case], tmp_path, stand_in)]
    assert row.ours[0].compute_bytes == pytest.approx(row.theirs.devices[0].compute_bytes, abs=MIB), _said(row)


def test_there_are_as_many_as_promised() -> None:
    cases = main_cases()
    assert len(set(cases)) == 288
    assert {case.model for case in cases} == {"1B", "3B", "8B", "70B"}


@pytest.mark.parametrize(
    ("layers", "kv_type", "n_parallel"),
    [
        ((17,), "f16", 1),
        ((9, 8), "q8_0", 1),
        ((4, 5), "f16", 1),
        ((5, 4, 4, 4), "f16", 1),
        ((9,), "q8_0", 6),
        ((17,), "f16", 60),
    ],
)
async def test_a_load_for_real_takes_what_was_said(
    layers: tuple[int, ...], kv_type: KvType, n_parallel: int, stand_in: Path, tmp_path: Path
) -> None:
    """Weights, and buffers that llama.cpp logs when it does take them, on cards that keep nothing of what they get.

    Formula, dry run and load must say the same: a dry run of llama.cpp has quirks of its own.
    """
    case = Case("1B", "Q4_K_M", Layout(layers), 4096, kv_type, n_parallel)
    (row,) = [row async for row in measured([case], tmp_path, stand_in)]
    path = write_sparse(tmp_path / "real.gguf", SHAPES["1B"], "Q4_K_M")
    engine = LocalEngine(path, options=options(case), command=worker_with(stand_in, CARDS))
    try:
        report = (await ask(engine, max_tokens=1)).of(Loaded)[0].report
    finally:
        await engine.close()
    for ours, said, real in zip(row.ours, row.theirs.devices, report.parts, strict=True):
        assert ours.layers == said.layers == real.layers
        assert real.compute_bytes == pytest.approx(ours.compute_bytes, abs=MIB)
        assert said.compute_bytes == pytest.approx(real.compute_bytes, abs=MIB)
        if real.device != "CPU":
            assert real.weights_bytes == pytest.approx(ours.weights_bytes, abs=MIB / 50)
            assert real.kv_bytes == pytest.approx(ours.kv_bytes, abs=MIB / 50)
