"""A benchmark that misses its aim, or became worse than what was kept, ends with 1. Measures nothing."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """benchmarks/ is a folder of scripts and no package."""
    spec = importlib.util.spec_from_file_location("figures", BENCHMARKS / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def chosen(save: Path | None = None, compare: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(save=save, compare=compare)


@pytest.mark.parametrize(
    ("value", "aim", "less", "status"),
    [(0.98, 0.97, False, 0), (0.96, 0.97, False, 1), (1.05, 1.1, True, 0), (1.2, 1.1, True, 1), (5.0, None, False, 0)],
)
def test_an_aim_that_is_missed_fails(
    figures: ModuleType, value: float, aim: float | None, less: bool, status: int
) -> None:
    assert figures.finish([figures.Figure("share", value, aim=aim, less=less)], chosen()) == status


@pytest.mark.parametrize(
    ("now", "less", "status"),
    [(0.99, False, 0), (0.90, False, 1), (1.5, False, 0), (1.04, True, 0), (1.1, True, 1), (0.5, True, 0)],
)
def test_a_figure_that_became_worse_fails(
    figures: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], now: float, less: bool, status: int
) -> None:
    kept = tmp_path / "kept.json"
    before = figures.Figure("share", 1.0, less=less, samples=(0.9, 1.1))
    assert figures.finish([before], chosen(save=kept), rounds=2) == 0
    assert json.loads(kept.read_text(encoding="utf-8"))["about"] == {"rounds": 2}
    assert figures.finish([figures.Figure("share", now, less=less)], chosen(compare=kept)) == status
    assert ("worse than kept: share" in capsys.readouterr().out) is bool(status)


def test_every_kept_result_can_be_read_again(figures: ModuleType) -> None:
    for kept in sorted((BENCHMARKS / "results").glob("*.json")):
        entries = json.loads(kept.read_text(encoding="utf-8")).get("figures", [])
        assert all({"name", "value", "unit", "aim", "less", "samples"} == set(entry) for entry in entries), kept.name
