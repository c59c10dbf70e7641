"""The words of the Models page: plain, and true to the figures behind them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.widgets import model_samples as ms
from widgets import file_words
from widgets import format as fmt
from widgets import model_words as words
from widgets.model_values import ClosestModel, DownloadLine, LeverLine, ModelRow

GIB = 2**30
ROWS = {row.ref: row for row in ms.on_4090().rows}
WHOLE = ROWS["llama-3.1-8b:Q8_0"]
SPLIT = ROWS["llama-3.3-70b:Q3_K_M"]
TOO_LARGE = ROWS["llama-3.1-405b:Q4_K_M"]


def in_ram(tok_s: float | None) -> ModelRow:
    return replace(WHOLE, verdict="ram", gpu_layers=0, tok_s_low=tok_s, tok_s_high=tok_s)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (WHOLE, "Fits on the GPU"),
        (ms.on_two_3090().rows[0], "Fits on the GPUs"),
        (SPLIT, f"{SPLIT.gpu_layers} of 81 layers on GPU"),
        (in_ram(4.0), "In RAM, slow"),
        (in_ram(None), "In RAM"),
        (in_ram(31.0), "In RAM"),
        (replace(TOO_LARGE, missing_bytes=round(3.1 * GIB)), "Too large by 3.10 GiB"),
        (ms.VISION, "Cannot run here"),
    ],
)
def test_a_verdict_in_a_few_words(row: ModelRow, said: str) -> None:
    assert words.verdict(row) == said


def test_no_verdict_is_told_by_colour_alone() -> None:
    icons = {words.verdict_mark(row)[0] for row in (WHOLE, SPLIT, in_ram(5), TOO_LARGE, ms.VISION)}
    assert len(icons) == 5


def test_verdicts_sort_from_best_to_hopeless() -> None:
    more = replace(SPLIT, gpu_layers=SPLIT.gpu_layers + 9)
    close = replace(TOO_LARGE, missing_bytes=1)
    order = [WHOLE, more, SPLIT, in_ram(5), close, TOO_LARGE, ms.VISION]
    mixed = [*order[3:], *order[:3]]
    assert sorted(mixed, key=words.verdict_key) == order


@pytest.mark.parametrize(
    ("quant", "said"),
    [
        ("F16", "Original"), ("Q8_0", "Nearly same"), ("Q6_K", "Very close"), ("Q5_K_M", "Very close"),
        ("Q4_K_M", "Close"), ("Q4_0", "Some loss"), ("Q3_K_M", "Some loss"), ("Q2_K", "Clear loss"),
    ],
)  # fmt: skip
def test_closeness_of_the_quants_that_were_measured(quant: str, said: str) -> None:
    row = ROWS[f"llama-3.1-8b:{quant}"]
    assert words.closeness(row.kld) == said
    assert f"KLD {row.kld:.4f}" in words.quality_sentence(row), "the figure stands beside the word"


def test_what_was_not_measured_says_so() -> None:
    assert words.closeness(None) == "Not measured"
    assert "not measured" in words.quality_sentence(replace(WHOLE, kld=None))


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (256, "under a page of text"), (1024, "about 2 pages of text"), (8192, "about 12 pages of text"),
        (32768, "about 50 pages of text"), (131072, "about 200 pages of text"),
    ],
)  # fmt: skip
def test_tokens_as_pages(tokens: int, said: str) -> None:
    assert words.pages(tokens) == said


def test_speed_in_words_a_reader_can_picture() -> None:
    assert words.speed_sentence(replace(WHOLE, tok_s_low=95.0, tok_s_high=130.0)) == (
        "95.0 to 130 tok/s, faster than you read"
    )
    assert words.speed_sentence(in_ram(7.0)).endswith("about reading speed")
    assert words.speed_sentence(in_ram(2.0)).endswith("slower than you read")
    assert words.speed_sentence(in_ram(None)) == "speed not measured yet"
    assert words.speed(in_ram(None)) == fmt.NA


def test_own_runs_are_told_from_estimates() -> None:
    assert words.speed_basis(WHOLE) == "estimated"
    assert words.speed_basis(replace(WHOLE, own_runs=12)) == "measured in 12 runs here"
    assert words.speed_basis(in_ram(None)) == ""


@pytest.mark.parametrize(
    ("line", "what", "effect"),
    [
        (LeverLine("quant", "Q4_K_M", "gpu", 33, GIB, "m:Q4_K_M"), "Take Q4_K_M instead", "Fits on the GPU"),
        (LeverLine("context", "4096", "split", 30, GIB), "Context of 4,096 tokens", "30 layers on GPU"),
        (LeverLine("kv_type", "q8_0", "ram", 0, GIB), "Context memory as q8_0", "Fits in RAM"),
        (LeverLine("kv_type", "q4_0", "no", 0, GIB), "Context memory as q4_0", "Still too large"),
    ],
)
def test_levers_say_what_they_are_and_do(line: LeverLine, what: str, effect: str) -> None:
    assert words.lever(line) == (what, f"{effect}, 1.00 GiB less")


def test_devices_of_one_name_are_numbered() -> None:
    names = ["NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090", "AMD Ryzen 9"]
    assert words.device_names(names, hosts=["AMD Ryzen 9"]) == ["RTX 3090 #1", "RTX 3090 #2", "Main memory"]


def test_where_nothing_fits_the_lever_that_helps_is_found() -> None:
    row, lever = words.closest(ms.nothing_fits()) or pytest.fail("nothing found")
    assert row.ref == "llama-3.2-1b:Q2_K"
    assert lever is not None
    assert words.lever_action(lever) == "Shorten the context to 4,096 tokens"


def test_where_no_lever_helps_the_one_that_lacks_least_is_named() -> None:
    view = ms.nothing_fits()
    view = replace(view, closest=ClosestModel("llama-3.2-1b:Q2_K"))
    row, lever = words.closest(view) or pytest.fail("nothing found")
    assert lever is None
    assert row.missing_bytes == min(each.missing_bytes for each in view.rows if each.state != "not_runnable")


def test_a_row_is_spoken_whole() -> None:
    assert words.spoken(replace(WHOLE, tok_s_low=67.0, tok_s_high=104.0)) == (
        "Recommended. Llama 3.1 8B Instruct, Q8_0. 7.95 GiB file. Fits on the GPU. needs 10.1 GiB. "
        "67.0 to 104 tok/s, faster than you read. quality: Nearly same. Not on disk"
    )
    assert words.spoken(ms.VISION).endswith("llama.cpp does not support the Llama 3.2 Vision models")


def test_a_figure_stays_with_its_unit() -> None:
    assert words.unbroken("7.95 GiB at 67.3 tok/s") == "7.95\u00a0GiB at 67.3\u00a0tok\u2060/\u2060s"


def line(state: str, received: int = 2 * GIB, total: int | None = 4 * GIB, **more: float) -> DownloadLine:
    return DownloadLine("m:Q", "M, Q", state, received, total, **more)  # type: ignore[arg-type]  # states by name


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (line("running", rate_bytes_s=40 * 2**20, left_s=92), "2.00 of 4.00 GiB  ·  40.0 MiB/s  ·  1 min 32 s left"),
        (line("running"), "2.00 of 4.00 GiB"),
        (line("running", total=None), "2.00 GiB"),
        (line("paused"), "Paused, 2.00 of 4.00 GiB here"),
        (line("queued", 0), "Waits for its turn"),
        (line("queued"), "Waits for its turn, 2.00 of 4.00 GiB here"),
        (line("failed", 0), "Failed, 0 bytes of 4.00 GiB here"),
        (line("done", 4 * GIB), "Done, 4.00 GiB, checked"),
    ],
)
def test_how_a_download_stands(shown: DownloadLine, said: str) -> None:
    assert file_words.download_line(shown) == said


def test_the_share_of_a_download() -> None:
    assert file_words.share(line("running")) == 0.5
    assert file_words.share(line("running", total=None)) is None
    assert file_words.share(line("running", 5 * GIB)) == 1.0


def test_predicted_beside_real_memory() -> None:
    installed = ms.INSTALLED[0]
    off = file_words.memory_check(replace(installed, predicted_bytes=110 * 2**20, real_bytes=100 * 2**20))
    assert off == "Last load: predicted 110 MiB, really 100 MiB (prediction 10.0 % too high)"
    assert file_words.memory_check(replace(installed, predicted_bytes=100, real_bytes=100)).endswith("(as predicted)")
    assert file_words.memory_check(replace(installed, real_bytes=None)) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.2, "1 s left"), (8, "8 s left"), (92, "1 min 32 s left"), (7_500, "2 h 05 min left")],
)
def test_time_left(seconds: float | None, said: str) -> None:
    assert fmt.time_left(seconds) == said


def test_parts_and_ranges_of_figures() -> None:
    assert fmt.part_of(812 * 2**20, 4 * GIB) == "812 MiB of 4.00 GiB"
    assert fmt.part_of(3 * GIB, 4 * GIB) == "3.00 of 4.00 GiB"
    assert fmt.number_range(95.0, 130.0) == "95.0–130"
    assert fmt.number_range(41.01, 41.02) == "41.0"
    assert fmt.number_range(None, 3.0) == fmt.NA
    assert [fmt.short_count(n) for n in (256, 4096, 131072, 5000)] == ["256", "4k", "128k", "5,000"]
    assert fmt.rate(None) == fmt.NA
