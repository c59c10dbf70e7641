"""Who is asked for models, as the window names it before anybody is asked. Must not contact it."""

from __future__ import annotations

from urllib.parse import urlsplit

from backends.models.hub_address import hub_url


def hub_host() -> str:
    """The host of huggingface.co, or of what NEARFAR_HUB_URL names instead, with its port."""
    url = hub_url()
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:  # the first request says what is wrong with it
        return url
