"""Turns the words of an error into those of a command line: no buttons, options by name. Pure: must not print.

The sentences of the backends speak to whoever sits at the window; everything that a command says of an error passes
through here, on standard error and in JSON alike.
"""

from __future__ import annotations

import re
from dataclasses import replace

from backends.errors import NearfarError, Problem
from backends.models.errors import DownloadError
from backends.sizes import size_words

LOAD_ADVICE = (
    "Free memory, choose a smaller quant, or add --load-anyway: the load can then fail or slow the machine down."
)
NOTHING_CAME = "Nothing was downloaded."
AGAIN = "run the same command again"
# Whole sentences and phrases of the window, with what a person types instead. The first letter's case is kept.
_TYPED = tuple(
    (re.compile(words, re.IGNORECASE), typed)
    for words, typed in (
        (r"press (?:resume|retry|run again|run)\b", AGAIN),
        (r"goes on with resume\b", "goes on with the same command"),
        (r"read the licence and accept it\b", "read the licence, then add --accept-licence"),
        (r"give an access token\b", "name the variable that holds an access token with --token-env"),
        (
            r"a private repo needs a token\b(?!, in)",
            "a private repo needs a token, in a variable that --token-env names",
        ),
        (r"check the name and the token\b(?! that)", "check the name and the token that --token-env names"),
        (r"add its repo by hand to see what it has now\b", "add --revision newest"),
        (r"choose the folder again in settings\b", "add --make-folder to `nearfar models pull` or `import`"),
        (r"\b(?<!window's )settings\b(?=[.,;](?!\w)|$)", "the window's Settings"),  # not in settings.json
    )
)


def typed(problem: Problem, *, kept_bytes: int | None = None, texts_kept: bool = False) -> Problem:
    """The same problem for a terminal; doing it twice changes nothing more. `kept_bytes`: what of a download is on the
    disk, None where there is no download.

    `texts_kept`: the command had a prompt, which the history keeps with what was answered.
    """
    what, fix = problem.what, problem.fix
    for pattern, words in _TYPED:
        fix = pattern.sub(lambda match, words=words: _cased(match[0], words), fix)  # type: ignore[misc]  # a lambda's default
    return replace(problem, what=what, safe=_safe(problem.safe, kept_bytes, texts_kept), fix=fix)


def _cased(was: str, words: str) -> str:
    return words[:1].upper() + words[1:] if was[:1].isupper() and not words.startswith("the window") else words


def _safe(safe: str, kept_bytes: int | None, texts_kept: bool) -> str:
    """What is safe, as far as it is so here."""
    if safe == DownloadError.safe:
        return f"{size_words(kept_bytes)} of it are kept." if kept_bytes else NOTHING_CAME
    if safe == NearfarError.safe and not texts_kept:
        return ""
    return safe
