"""What the Models page is told of a machine, judged without a window."""

from __future__ import annotations

from dataclasses import replace

from app.models_ranking import Question, ranked
from backends.fit.learned import Learned
from backends.fit.records import Wish
from backends.models.catalogue import catalogue
from tests.backends.fit.machines import machine


def test_until_the_memory_is_measured_a_small_model_is_offered_without_a_speed() -> None:
    measured = machine(32)
    unmeasured = replace(measured, cpu=replace(measured.cpu, bandwidth_gb_s=None))
    found = ranked(Question(unmeasured, Wish(), Learned()), catalogue())
    (first,) = [row for row in found.rows if row.rank is not None]
    assert found.unmeasured
    assert "1B" in first.model
    assert all(row.tok_s_low is None for row in found.rows)
    assert found.question.machine == unmeasured, "so that the page sees when it is measured"
    later = ranked(Question(measured, Wish(), Learned()), catalogue())
    assert not later.unmeasured
    assert any(row.tok_s_low for row in later.rows)
