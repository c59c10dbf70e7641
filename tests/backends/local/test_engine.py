"""LocalEngine with the real worker and real tiny models: what a run says, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.errors import WorkerDied
from backends.events import Cancelled, Delta, Failed, Finished, Loaded, Loading, Notice, Prefill, Sent, Started
from backends.local.engine import LocalEngine
from backends.records import Message, Prompt
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import HELLO, HELLO_TEXT, SPELLED, Recorder, answer, ask, request
from tests.gguf_factory import write_random


async def test_a_run_says_everything_in_order(make_engine: MakeEngine, hello: Path) -> None:
    recorder = await ask(make_engine(hello))
    kinds = [type(event) for event in recorder.events]
    first = [kinds.index(kind) for kind in (Started, Loading, Loaded, Sent, Prefill, Delta, Finished)]
    assert first == sorted(first)
    result = recorder.end.result
    assert (result.text, result.finish_reason, result.complete) == (HELLO_TEXT, "stop", True)
    assert result.usage.completion_tokens == len(HELLO)
    assert result.ttft_ms is not None
    assert result.load_ms
    assert recorder.of(Prefill)[-1].done == recorder.of(Prefill)[-1].total == result.usage.prompt_tokens


async def test_the_report_is_what_llama_cpp_said(make_engine: MakeEngine, tiny: Path) -> None:
    recorder = await ask(make_engine(tiny, n_ctx=512, kv_type="q8_0", n_threads=1), max_tokens=2)
    report = recorder.of(Loaded)[0].report
    assert (report.device, report.gpu_layers, report.n_layers) == ("CPU", 0, 3)
    assert (report.n_ctx, report.kv_type, report.n_threads, report.quant) == (512, "q8_0", 1, "Q8_0")
    # 2 layers x 1 KV head x 32 numbers x K and V x 512 positions in blocks of 34 bytes for 32 numbers
    assert report.kv_bytes == pytest.approx(2 * 32 * 2 * 512 * 34 / 32, abs=0.005 * 2**20)
    assert report.weights_bytes == pytest.approx(115_000, rel=0.2)  # the Q8_0 tensors of TINY
    assert report.compute_bytes
    assert report.template == "gguf"
    assert "llama-cpp-python" in report.engine_build


async def test_the_context_is_the_one_asked_for_and_never_beyond_training(make_engine: MakeEngine, tiny: Path) -> None:
    small = await ask(make_engine(tiny, n_ctx=100), max_tokens=2)
    large = await ask(make_engine(tiny, n_ctx=100_000), max_tokens=2)
    assert small.of(Loaded)[0].report.n_ctx == 100
    assert large.of(Loaded)[0].report.n_ctx == 2048


async def test_a_loaded_model_is_used_again(make_engine: MakeEngine, hello: Path) -> None:
    engine = make_engine(hello)
    await answer(engine)
    pid = engine.worker_pid
    again = await ask(engine)
    assert not again.of(Loading)
    assert again.of(Loaded)[0].report.load_ms == 0
    assert engine.worker_pid == pid


async def test_the_first_text_comes_alone_and_every_token_is_stamped(make_engine: MakeEngine, endless: Path) -> None:
    recorder = await ask(make_engine(endless), max_tokens=400)
    deltas = recorder.of(Delta)
    assert deltas[0].n_tokens == 1
    stamps = [stamp for delta in deltas for stamp in delta.stamps_ns]
    assert len(stamps) == 400
    assert stamps == sorted(stamps)
    assert len(deltas) < 200, "small tokens travel together"
    sent = recorder.of(Sent)[0].at_ns
    assert all(stamp >= sent for stamp in stamps)


async def test_result_says_how_it_was_made(make_engine: MakeEngine, tiny: Path) -> None:
    result = await answer(make_engine(tiny, n_ctx=256), temperature=0.5, max_tokens=3)
    assert result.settings["temperature"] == 0.5
    assert result.settings["n_ctx"] == 256
    assert isinstance(result.settings["seed"], int), "a seed that the engine drew is kept, to repeat the run"
    assert result.engine_timings["prompt_n"] == result.usage.prompt_tokens
    assert result.engine_timings["predicted_n"] == 2
    assert result.model == "tiny.gguf"


async def test_one_run_at_a_time(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    one, two = Recorder(), Recorder()
    await asyncio.gather(engine.run(request(max_tokens=300), one), engine.run(request(max_tokens=300), two))
    assert one.text == two.text == "".join(SPELLED[i % 5].decode() for i in range(300))
    assert two.of(Sent)[0].at_ns >= one.end.at_ns


async def test_system_prompt_and_earlier_turns_reach_the_model(make_engine: MakeEngine, tiny: Path) -> None:
    engine = make_engine(tiny)
    alone = await answer(engine, "hello", max_tokens=1)
    turns = (Message("system", "run"), Message("user", "what"), Message("assistant", "the"), Message("user", "hello"))
    whole = await answer(engine, Prompt(turns), max_tokens=1)
    assert (whole.usage.prompt_tokens or 0) > (alone.usage.prompt_tokens or 0) + 15


async def test_probe_says_what_llama_cpp_runs_on(make_engine: MakeEngine, tmp_path: Path) -> None:
    facts = await make_engine(tmp_path / "none.gguf").probe()
    assert facts.backends
    assert any(device.kind == "cpu" and device.total_bytes > 0 for device in facts.devices)
    assert facts.version[0].isdigit()


async def test_cancelled_while_it_waits_its_turn(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    first, second = Recorder(), Recorder()
    one = asyncio.create_task(engine.run(request(max_tokens=None), first))
    await first.until(lambda: bool(first.of(Delta)))
    two = asyncio.create_task(engine.run(request(), second))
    await second.until(lambda: bool(second.events))
    for task in (two, one):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert isinstance(first.end, Cancelled)
    assert isinstance(second.end, Cancelled)
    assert first.end.result.usage.completion_tokens == sum(delta.n_tokens or 0 for delta in first.of(Delta))


async def test_closed_in_the_middle_of_a_run(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    recorder = Recorder()
    task = asyncio.create_task(engine.run(request(max_tokens=None), recorder))
    await recorder.until(lambda: bool(recorder.of(Delta)))
    pid = engine.worker_pid
    assert pid is not None
    await engine.close()
    await task
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == WorkerDied.code
    assert engine.worker_pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await engine.close()


async def test_an_engine_that_cannot_start(make_engine: MakeEngine, tiny: Path) -> None:
    recorder = await ask(make_engine(tiny, command=["/no/such/program"]))
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "worker_died"


async def test_values_out_of_bounds_are_refused_before_the_worker_sees_them(
    make_engine: MakeEngine, hello: Path
) -> None:
    engine = make_engine(hello)
    refused = await ask(engine, temperature=-1.0)
    assert isinstance(refused.end, Failed)
    assert "temperature" in refused.end.problem.what
    assert (await answer(engine)).text == HELLO_TEXT


async def test_noise_on_descriptor_1_does_not_reach_the_protocol(make_engine: MakeEngine, hello: Path) -> None:
    noisy = (
        "import ctypes, os, sys\n"
        "from backends.local import native, worker\n"
        "facts = native.Native.facts\n"
        "def loud(self):\n"
        "    os.write(1, b'noise from a library\\n')\n"
        "    ctypes.CDLL(None).puts(b'more noise')\n"
        "    print('and from Python', flush=True)\n"
        "    return facts(self)\n"
        "native.Native.facts = loud\n"
        "sys.exit(worker.main())\n"
    )
    engine = make_engine(hello, command=[sys.executable, "-P", "-c", noisy])
    assert (await answer(engine)).text == HELLO_TEXT


async def test_without_a_template_the_plain_format_is_used_and_said(make_engine: MakeEngine, models: Path) -> None:
    engine = make_engine(write_random(models / "no_template.gguf", template=None))
    for _ in range(2):
        recorder = await ask(engine, max_tokens=3)
        assert recorder.of(Loaded)[0].report.template == "plain"
        assert "no chat template" in recorder.of(Notice)[0].text


def test_the_parent_never_imports_llama_cpp() -> None:
    code = "import sys, backends.local.engine; sys.exit(bool({'llama_cpp', 'numpy', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_engine_can_be_made_before_there_is_a_loop(tiny: Path) -> None:
    engine = LocalEngine(tiny)
    assert engine.worker_pid is None
