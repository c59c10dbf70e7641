"""Chat templates by strangers: escapes do nothing, everything is bounded, and the plain format stands in."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from backends.events import Finished, Loaded, Notice
from backends.local.template import ChatTemplate, TemplateUnusable, plain_chat
from backends.records import Message, Prompt
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import HELLO, HELLO_TEXT, ask
from tests.gguf_factory import LLAMA3_TEMPLATE, write_script

ASKED = (Message("system", "Be brief."), Message("user", " What? "))
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded where /proc tells the size")

UNUSABLE = {
    "syntax": ("{% for %}", "not written correctly"),
    "undefined": ("{{ nothing.at.all }}", "not there"),
    "refusal": ("{{ raise_exception('no ' + messages[0]['content']) }}", "refuses this conversation"),
    "loops": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "too long"),
    "power": ("{{ 9 ** 9 ** 9 }}", "not allowed"),
    "product": ("{% set x = 10 ** 2 %}", "not allowed"),
    "big product": (
        "{% set ns = namespace(x=99999) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "not",
    ),
    "repeat": ("{{ 'x' * 10000000000 }}", "not allowed"),
    "range": ("{{ range(10000000) | list }}", "loops too often"),
    "output": ("{% for i in range(9999) %}0123456789012345678901234567890{% endfor %}", "more than it was given"),
    "nesting": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ""),
    "type error": ("{{ 1 + 'a' }}", "failed"),
}
ESCAPES = {
    "globals": "{{ cycler.__init__.__globals__.os.system('touch TARGET') }}",
    "subclasses": "{% for c in ().__class__.__base__.__subclasses__() %}{{ c.__init__.__globals__ }}{% endfor %}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "attr": "{{ (''|attr('for' ~ 'mat'))('{0.__globals__}', strftime_now) }}",
    "function globals": "{{ strftime_now.__globals__['contextlib'].sys.modules['os'].system('touch TARGET') }}",
    "import": "{% import 'os' as os %}{{ os.system('touch TARGET') }}",
    "include": "{% include '/etc/hostname' %}",
}


def make(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos="<B>", eos="<E>")


def test_llama_3_format() -> None:
    text = make(LLAMA3_TEMPLATE).render(ASKED)
    assert text == (
        "<B><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhat?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_what_templates_expect_is_there() -> None:
    source = (
        "{%- if not tools is defined %}broken{% endif %}{{ strftime_now('%Y') | length }}"
        '{{ {"a": "é<"} | tojson }}{% for m in messages %}'
        "{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}"
    )
    assert make(source).render(ASKED) == '4{"a": "é<"}user'


@pytest.mark.parametrize(("source", "why"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_template_out_of_bounds_is_unusable(source: str, why: str) -> None:
    with pytest.raises(TemplateUnusable) as caught:
        make(source).render(ASKED)
    assert why in str(caught.value)
    assert "Be brief" not in str(caught.value)
    assert "template" not in {thread.name for thread in threading.enumerate()}, "it would go on burning a core"


@linux_only
@pytest.mark.parametrize(
    "source",
    [
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ '%999999999d' | format(1) | length }}",
        "{{ 'x' | center(9999999999) | length }}",
    ],
)
def test_memory_is_bounded(source: str) -> None:
    with pytest.raises(TemplateUnusable, match=r"too much memory|failed"):
        make(source).render(ASKED)


@pytest.mark.parametrize("source", ESCAPES.values(), ids=ESCAPES.keys())
def test_an_escape_does_nothing(source: str, tmp_path: Path) -> None:
    target = tmp_path / "escaped"
    try:
        text = make(source.replace("TARGET", str(target))).render(ASKED)
    except TemplateUnusable:
        text = ""
    assert not target.exists()
    assert "__builtins__" not in text


def test_a_huge_template_is_not_even_compiled() -> None:
    with pytest.raises(TemplateUnusable, match="longer"):
        make("{# " + "x" * 70_000 + " #}")


def test_a_long_prompt_may_grow_fourfold_and_no_more() -> None:
    long = (Message("user", "x" * 100_000),)
    assert len(make("{% for i in range(4) %}{{ messages[0].content }}{% endfor %}").render(long)) == 400_000
    with pytest.raises(TemplateUnusable, match="more than it was given"):
        make("{% for i in range(5) %}{{ messages[0].content }}{% endfor %}").render(long)


def test_plain_format() -> None:
    assert plain_chat(ASKED) == "Be brief.\n\nUser: What?\n\nAssistant:"


@pytest.mark.parametrize("name", ["syntax", "loops", "output", "refusal"])
async def test_a_bad_template_is_reported_and_the_model_still_answers(
    make_engine: MakeEngine, models: Path, name: str
) -> None:
    path = write_script(models / f"bad_{name}.gguf", HELLO, template=UNUSABLE[name][0], start=b":")
    recorder = await ask(make_engine(path))
    assert isinstance(recorder.end, Finished), recorder.end
    assert recorder.end.result.text == HELLO_TEXT
    assert recorder.of(Loaded)[0].report.template == "plain"
    assert "plain chat format" in recorder.of(Notice)[0].text


async def test_a_template_that_refuses_one_conversation_falls_back_for_it(
    make_engine: MakeEngine, models: Path
) -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + LLAMA3_TEMPLATE
    engine = make_engine(write_script(models / "no_system.gguf", HELLO, template=source))
    good = await ask(engine, "what")
    assert not good.of(Notice)
    refused = await ask(engine, Prompt.ask("what", "Be brief."), max_tokens=4)
    assert refused.of(Loaded)[0].report.template == "gguf"
    assert "refuses this conversation" in refused.of(Notice)[0].text
    assert isinstance(refused.end, Finished)
