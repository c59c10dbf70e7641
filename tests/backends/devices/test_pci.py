"""What Linux's own list of devices tells, as files that a test lays out; and spellings of bus ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.devices.pci import display_vendors, plain_pci_id


def lay(folder: Path, name: str, vendor: str, kind: str) -> None:
    (folder / name).mkdir()
    (folder / name / "vendor").write_text(vendor + "\n")
    (folder / name / "class").write_text(kind + "\n")


def test_a_card_without_a_driver_is_seen_on_the_bus(tmp_path: Path) -> None:
    lay(tmp_path, "0000:01:00.1", "0x10de", "0x040300")
    assert display_vendors(tmp_path) == (), "the sound part of a card"
    lay(tmp_path, "0000:01:00.0", "0x10de", "0x030200")
    lay(tmp_path, "0000:03:00.0", "0x1002", "0x030000")
    lay(tmp_path, "0000:04:00.0", "0x1a03", "0x030000")
    assert display_vendors(tmp_path) == ("NVIDIA", "AMD"), "a server's console is no GPU"
    assert display_vendors(tmp_path / "nowhere") == ()


def test_intels_own_graphics_are_not_worth_a_build(tmp_path: Path) -> None:
    lay(tmp_path, "0000:00:02.0", "0x8086", "0x030000")
    assert display_vendors(tmp_path) == ()
    lay(tmp_path, "0000:03:00.0", "0x8086", "0x030000")
    assert display_vendors(tmp_path) == ("Intel",)


def test_a_device_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "0000:00:00.0").mkdir()
    lay(tmp_path, "0000:01:00.0", "0x10de", "0x030000")
    assert display_vendors(tmp_path) == ("NVIDIA",)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("00000000:C1:00.0", "0000:c1:00.0"),
        ("0000:c1:00.0", "0000:c1:00.0"),
        ("0000000F:01:00.0", "000f:01:00.0"),
        ("c1:00.0", "0000:c1:00.0"),
        ("0000:01:00.0-v1", "0000:01:00.0"),
        ("", None),
        (None, None),
        ("GPU-1234", None),
        ("0000:01:00.9", None),
    ],
)
def test_one_spelling_of_a_bus_id(text: str | None, plain: str | None) -> None:
    assert plain_pci_id(text) == plain
