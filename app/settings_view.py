"""Settings as the Settings page shows them, and what a change there means. Must not read files, nor paint."""

from __future__ import annotations

from app.server_choices import server_lines
from backends.workbench import Workbench
from widgets.values import AcceptedLicence, SettingsView

# Of the page as of the settings.
SAME_NAMES = (
    *("theme", "keep_history", "local_only", "n_ctx", "kv_type", "download_limit_mb_s", "added_repos"),
    *("proxy_url", "ca_file", "session_budget_usd", "month_budget_usd"),
)


def settings_view(bench: Workbench, folder_free_bytes: int | None) -> SettingsView:
    """All that the page shows; the free space is that of the models folder's disk, as it was read last."""
    settings = bench.settings
    return SettingsView(
        theme=settings.theme,
        keep_history=settings.keep_history,
        local_only=bench.egress.policy.local_only,
        mode=settings.lane_order,
        sampling=settings.sampling,
        n_ctx=settings.n_ctx,
        kv_type=settings.kv_type,
        models_folder=str(bench.models.folder),
        models_folder_free_bytes=folder_free_bytes,
        download_limit_mb_s=settings.download_limit_mb_s,
        accepted_licences=tuple(AcceptedLicence(tag, _licence_name(tag)) for tag in settings.accepted_licences),
        added_repos=settings.added_repos,
        proxy_url=settings.proxy_url,
        ca_file=settings.ca_file,
        session_budget_usd=settings.session_budget_usd,
        month_budget_usd=settings.month_budget_usd,
        servers=server_lines(bench),
    )


def changes(before: SettingsView, after: SettingsView) -> dict[str, object]:
    """The settings that are others now, by their names; the models folder is changed elsewhere."""
    found: dict[str, object] = {}
    for name in SAME_NAMES:
        if getattr(before, name) != getattr(after, name):
            found[name] = getattr(after, name)
    if before.mode != after.mode:
        found["lane_order"] = after.mode
    if before.accepted_licences != after.accepted_licences:
        found["accepted_licences"] = tuple(each.tag for each in after.accepted_licences)
    return found


def _licence_name(key: str) -> str:
    """Licences of the catalogue by their names; of other repos the tag and whose it is."""
    from backends.models.catalogue import licence

    known = licence(key)
    if known is not None:
        return known.name
    tag, _at, repo = key.partition("@")
    return f"{'licence not stated' if tag == 'none' else tag} of {repo}" if repo else key
