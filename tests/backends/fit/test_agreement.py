"""Our formula and llama.cpp itself agree on what hundreds of loads take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.fit.agreement import MIB, Case, Row, gpu_cases, main_cases, measured, quant_cases


ROPE_TABLE_BYTES = 256  # stands once on each device; the formula counts it to the first layer


def _said(row: Row) -> str:
    ours = [(need.layers, need.weights_bytes, need.kv_bytes, need.compute_bytes) for need in row.ours]
    theirs = [(each.layers, each.weights_bytes, each.kv_bytes, each.compute_bytes) for each in row.theirs.devices]
    return f"{row.case}: ours {ours}, llama.cpp's {theirs}"


@pytest.mark.parametrize("cases", [main_cases(), gpu_cases(), quant_cases()], ids=["one GPU", "several", "quants"])
async def test_formula_agrees_with_llama_cpp(cases: list[Case], stand_in: Path, tmp_path: Path) -> None:
    rows = [row async for row in measured(cases, tmp_path, stand_in)]
    assert len(rows) == len(cases)
    assert not [_said(row) for row in rows if not row.agrees]
    for row in rows:
        for our, their in zip(row.ours, row.theirs.devices, strict=True):
            assert our.weights_bytes == pytest.approx(their.weights_bytes, abs=ROPE_TABLE_BYTES), _said(row)
            assert our.kv_bytes == pytest.approx(their.kv_bytes, abs=MIB / 100), _said(row)


def test_there_are_as_many_as_promised() -> None:
    cases = main_cases()
    assert len(set(cases)) == 288
    assert {case.model for case in cases} == {"1B", "3B", "8B", "70B"}
