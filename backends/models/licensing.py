"""Which licence a download comes under, and under what name its acceptance is remembered. Must not ask anybody."""

from __future__ import annotations

import hashlib

from backends.models.catalogue import licence
from backends.models.records import DownloadPlan, Licence

MAX_KEY = 100


def licence_of(plan: DownloadPlan) -> Licence:
    """Llama's with its own text; of any other repo the tag that its page shows, with the page as its address."""
    tag = plan.licence_tag or ""
    known = licence(tag) if tag else None
    name = tag if tag else "not stated"
    return known or Licence(tag, name, f"https://huggingface.co/{plan.repo}", credit="", notice="")


def acceptance_key(plan: DownloadPlan) -> str:
    """A Llama licence is accepted once; what another repo calls its licence may be a text of its own."""
    tag = plan.licence_tag or "none"
    if licence(tag) is not None:
        return tag
    key = f"{tag}@{plan.repo}"
    return key if len(key) <= MAX_KEY else hashlib.sha256(key.encode()).hexdigest()
