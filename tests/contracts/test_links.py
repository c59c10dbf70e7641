"""The links in our Markdown lead somewhere. Must not ask the network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contracts.places import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
NOT_OURS_OR_NOT_PAGES = ("tests", "corpus")


def is_page(path: Path) -> bool:
    return not any(part in NOT_OURS_OR_NOT_PAGES or part.startswith(".") for part in path.relative_to(ROOT).parts)


PAGES = [page for page in sorted(ROOT.rglob("*.md")) if is_page(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{target} leads nowhere"
