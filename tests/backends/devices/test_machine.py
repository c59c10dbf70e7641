"""What NVML and llama.cpp each say of a machine, put together; and the command where a GPU is not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.devices.machine import lacks_free_sizes, machine_from, read_machine
from backends.devices.nvml import Survey
from backends.devices.nvml_words import nvml_problem
from backends.devices.records import CpuInfo, Device, Machine, MemoryInfo
from backends.errors import Problem
from backends.local.facts import WorkerDevice, WorkerFacts

GIB = 2**30
CPU = CpuInfo("a processor", 8, 16)
MEMORY = MemoryInfo(64 * GIB, 48 * GIB, 0, 0)


def nvidia(name: str, pci_id: str | None = "0000:01:00.0", **more: object) -> Device:
    known = Device(name, "gpu", uuid=f"GPU-{pci_id}", pci_id=pci_id, total_bytes=24 * GIB, free_bytes=23 * GIB)
    return replace(known, **more)  # type: ignore[arg-type]  # a test's own fields


def seen(
    name: str, description: str, pci_id: str | None = None, *, kind: str = "gpu", gib: tuple[int, int] = (15, 16)
) -> WorkerDevice:
    return WorkerDevice(name, description, kind, gib[0] * GIB, gib[1] * GIB, pci_id)


def facts(backends: str, *devices: WorkerDevice) -> WorkerFacts:
    return WorkerFacts("0.3.36", tuple(backends.split()), devices, gpu_offload=backends != "CPU")


def merged(devices: list[Device], said: WorkerFacts | None, vendors: tuple[str, ...] = ()) -> Machine:
    return machine_from(Survey(tuple(devices)), said, MEMORY, CPU, None, vendors)


def backends(machine: Machine) -> list[tuple[str, str | None]]:
    return [(gpu.uuid or gpu.name, gpu.backend) for gpu in machine.gpus]


R3090 = "NVIDIA GeForce RTX 3090"
TWO = [nvidia(R3090, "0000:01:00.0"), nvidia(R3090, "0000:02:00.0")]


def test_two_equal_gpus_with_two_backends_each_are_two() -> None:
    said = facts(
        "CUDA Vulkan CPU",
        seen("CUDA0", R3090, "0000:02:00.0"),
        seen("CUDA1", R3090, "0000:01:00.0"),
        seen("Vulkan0", R3090, "0000:01:00.0"),
        seen("Vulkan1", R3090, "0000:02:00.0"),
        seen("CPU", "a processor", kind="cpu"),
    )
    machine = merged(TWO, said)
    assert backends(machine) == [("GPU-0000:01:00.0", "CUDA1"), ("GPU-0000:02:00.0", "CUDA0")]
    assert machine.gpus[0].free_bytes == 23 * GIB, "NVML's figure stands"
    assert machine.problems == ()


def test_without_bus_ids_they_are_told_apart_by_name_and_count() -> None:
    said = facts("CUDA Vulkan CPU", *(seen(f"{kind}{n}", R3090) for kind in ("CUDA", "Vulkan") for n in (0, 1)))
    assert backends(merged(TWO, said)) == [("GPU-0000:01:00.0", "CUDA0"), ("GPU-0000:02:00.0", "CUDA1")]


def test_a_third_equal_gpu_that_only_llama_cpp_sees_is_a_third() -> None:
    said = facts("CUDA CPU", *(seen(f"CUDA{n}", R3090) for n in range(3)))
    assert [backend for _, backend in backends(merged(TWO, said))] == ["CUDA0", "CUDA1", "CUDA2"]


def test_another_bus_id_is_another_gpu_whatever_its_name() -> None:
    said = facts("CUDA CPU", seen("CUDA0", R3090, "0000:09:00.0"))
    machine = merged(TWO[:1], said)
    assert [gpu.pci_id for gpu in machine.gpus] == ["0000:01:00.0", "0000:09:00.0"]


def test_names_as_an_open_driver_writes_them() -> None:
    said = facts("Vulkan CPU", seen("Vulkan0", f"{R3090} (NVK GA102)"))
    assert backends(merged(TWO[:1], said)) == [("GPU-0000:01:00.0", "Vulkan0")]


def test_gpus_of_other_makers_as_llama_cpp_lists_them() -> None:
    said = facts(
        "ROCm Vulkan CPU",
        seen("ROCm0", "AMD Radeon RX 7900 XTX", gib=(20, 24)),
        seen("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", gib=(23, 24)),
        seen("Vulkan1", "Intel(R) Arc(TM) A770 Graphics"),
    )
    machine = merged([], said)
    radeon, arc = machine.gpus
    assert (radeon.name, radeon.backend, radeon.memory) == ("AMD Radeon RX 7900 XTX", "ROCm0", "own")
    assert (radeon.total_bytes, radeon.used_bytes, radeon.free_bytes) == (24 * GIB, 4 * GIB, 20 * GIB)
    assert (radeon.bandwidth_gb_s, radeon.bandwidth_source) == (960, "table")
    assert (arc.backend, arc.bandwidth_gb_s) == ("Vulkan1", 560)


def test_apples_gpu_has_what_the_system_lends_it_and_what_is_free() -> None:
    said = facts("MTL BLAS CPU", seen("MTL0", "Apple M3 Max", gib=(47, 48)), seen("BLAS", "Accelerate", kind="accel"))
    busy = machine_from(Survey(), said, MemoryInfo(64 * GIB, 20 * GIB, 0, 0), CPU, None, ("Apple",))
    (gpu,) = busy.gpus
    assert (gpu.memory, gpu.total_bytes, gpu.free_bytes) == ("shared", 48 * GIB, 20 * GIB)
    assert (gpu.bandwidth_gb_s, gpu.backend) == (400, "MTL0"), "of the variant with 64 GB"
    assert busy.problems == ()


def test_graphics_within_the_processor_count_only_where_there_are_no_others() -> None:
    """llama.cpp leaves them out beside a card, so their memory must not be added to the card's."""
    built_in = seen("Vulkan1", "AMD Radeon 8060S (RADV GFX1151)", kind="igpu", gib=(80, 96))
    card = seen("Vulkan0", "AMD Radeon RX 7900 XT", gib=(19, 20))
    assert [gpu.backend for gpu in merged([], facts("Vulkan CPU", card, built_in)).gpus] == ["Vulkan0"]
    (alone,) = merged([], facts("Vulkan CPU", built_in)).gpus
    assert (alone.memory, alone.total_bytes, alone.free_bytes) == ("shared", 64 * GIB, 48 * GIB)
    unseen = merged(TWO[:1], facts("Vulkan CPU", built_in))
    assert [gpu.backend for gpu in unseen.gpus] == [None, "Vulkan1"], "the card is not used, so they are"


def test_a_processor_that_poses_as_a_gpu_is_none() -> None:
    said = facts("Vulkan CPU", seen("Vulkan0", "llvmpipe (LLVM 15.0.6, 256 bits)"))
    assert merged([], said).gpus == ()


def test_sizes_from_llama_cpp_where_nvml_has_none() -> None:
    silent = nvidia("NVIDIA Board 7", total_bytes=None, free_bytes=None)
    (gpu,) = merged([silent], facts("CUDA CPU", seen("CUDA0", "NVIDIA Board 7", "0000:01:00.0"))).gpus
    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) == (16 * GIB, GIB, 15 * GIB)


@pytest.mark.parametrize("code", ["gpu_lost", "timeout", "version_mismatch", "driver_not_loaded", "other"])
def test_a_gpu_that_the_driver_has_lost_does_not_come_back_by_an_older_list(code: str) -> None:
    said = facts("CUDA Vulkan CPU", seen("CUDA0", R3090, "0000:01:00.0"), seen("Vulkan0", R3090, "0000:02:00.0"))
    trouble = Survey(tuple(TWO[1:]), (nvml_problem(code, "GPU 0", "why"),))
    machine = machine_from(trouble, said, MEMORY, CPU)
    assert backends(machine) == [("GPU-0000:02:00.0", "Vulkan0")]
    radeon = facts("CUDA Vulkan CPU", seen("CUDA0", R3090), seen("Vulkan0", "AMD Radeon RX 7900 XTX"))
    assert [gpu.backend for gpu in machine_from(replace(trouble, devices=()), radeon, MEMORY, CPU).gpus] == ["Vulkan0"]


def test_without_nvml_llama_cpps_own_list_stands() -> None:
    said = facts("CUDA CPU", seen("CUDA0", R3090))
    machine = machine_from(Survey(problems=(nvml_problem("no_library"),)), said, MEMORY, CPU)
    assert [gpu.backend for gpu in machine.gpus] == ["CUDA0"]


def test_what_was_free_long_ago_is_not_known() -> None:
    old = [
        replace(each, free_bytes=None)
        for each in (
            seen("CUDA0", "NVIDIA Board 7", "0000:01:00.0"),
            seen("Vulkan0", "AMD Radeon RX 7900 XTX"),
            seen("MTL0", "Apple M3 Max", gib=(47, 48)),
        )
    ]
    silent = nvidia("NVIDIA Board 7", total_bytes=None, free_bytes=None)
    machine = merged([silent], facts("CUDA Vulkan MTL CPU", *old))
    assert [(gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) for gpu in machine.gpus] == [
        (16 * GIB, None, None),
        (16 * GIB, None, None),
        (48 * GIB, None, None),
    ]
    assert lacks_free_sizes(machine)
    assert not lacks_free_sizes(merged(TWO, facts("CUDA CPU", replace(seen("CUDA0", R3090), free_bytes=None))))


def test_a_gpu_of_unknown_size_stays_so() -> None:
    (gpu,) = merged([], facts("Vulkan CPU", seen("Vulkan0", "Some GPU", gib=(0, 0)))).gpus
    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) == (None, None, None)


SLICES = [
    nvidia(f"NVIDIA A100-SXM4-40GB MIG {profile}", "0000:c1:00.0", uuid=uuid, slice_of="GPU-A100")
    for profile, uuid in (("3g.20gb", "MIG-3g"), ("2g.10gb", "MIG-2g"), ("1g.5gb", "MIG-1g"))
]


def test_the_one_slice_that_this_program_has() -> None:
    said = facts("CUDA CPU", seen("CUDA0", "NVIDIA A100-SXM4-40GB MIG 2g.10gb", "0000:c1:00.0"))
    machine = merged(SLICES, said)
    assert backends(machine) == [("MIG-3g", None), ("MIG-2g", "CUDA0"), ("MIG-1g", None)]
    assert machine.problems == (), "the others are not missing"


def test_a_gpu_cut_in_two_by_llama_cpp_is_one() -> None:
    said = facts("CUDA CPU", seen("CUDA0", R3090, "0000:01:00.0-v0"), seen("CUDA1", R3090, "0000:01:00.0-v1"))
    assert backends(merged(TWO[:1], said)) == [("GPU-0000:01:00.0", "CUDA0")]


def only(machine: Machine) -> Problem:
    (problem,) = machine.problems
    return problem


def test_an_nvidia_gpu_and_a_build_for_the_cpu() -> None:
    problem = only(merged([*TWO, nvidia("NVIDIA GeForce GTX 1060 6GB", "0000:03:00.0")], facts("CPU")))
    assert problem.code == "cpu_build"
    assert problem.what == (
        "llama.cpp is built for the CPU here, so models do not use "
        "2 x NVIDIA GeForce RTX 3090 and NVIDIA GeForce GTX 1060 6GB."
    )
    assert "`make run GPU=cuda`" in problem.fix


def test_slices_are_named_by_their_gpu() -> None:
    assert only(merged(SLICES, facts("CPU"))).what.endswith("do not use NVIDIA A100-SXM4-40GB.")


def test_a_build_that_should_see_the_gpu_and_does_not() -> None:
    problem = only(merged(TWO[:1], facts("CUDA CPU")))
    assert problem.what == "llama.cpp is built for CUDA, but does not see NVIDIA GeForce RTX 3090."
    assert "Update the NVIDIA driver" in problem.fix
    assert "GPU=cuda" in only(merged(TWO[:1], facts("Vulkan CPU"))).fix


@pytest.mark.parametrize(
    ("vendor", "built", "words", "fix"),
    [
        ("AMD", "CPU", "models do not use this machine's AMD GPU", "`make run GPU=vulkan`"),
        ("Intel", "CUDA CPU", "built for CUDA here", "`make run GPU=vulkan`"),
        ("AMD", "Vulkan CPU", "does not see this machine's AMD GPU", "driver"),
        ("Apple", "BLAS CPU", "models do not use this machine's Apple GPU", "`make run GPU=metal`"),
    ],
)
def test_gpus_of_other_makers_that_are_not_used(vendor: str, built: str, words: str, fix: str) -> None:
    problem = only(merged([], facts(built), ("NVIDIA", vendor)))
    assert words in problem.what
    assert fix in problem.fix


def test_nothing_is_called_unused_without_cause() -> None:
    assert merged(TWO, None, ("AMD",)).problems == (), "llama.cpp was not asked"
    assert merged([], facts("CPU"), ("NVIDIA",)).problems == (), "NVML says that itself"
    assert merged([], facts("CPU")).problems == ()


def test_the_cpu_and_what_nvml_found_wrong_are_part_of_it() -> None:
    wrong = Problem("nvidia_x", "What.", "", "Fix.")
    machine = machine_from(Survey(problems=(wrong,)), None, MEMORY, CPU, 42.5)
    assert machine.problems == (wrong,)
    assert (machine.cpu.total_bytes, machine.cpu.used_bytes) == (64 * GIB, 16 * GIB)
    assert (machine.cpu.bandwidth_gb_s, machine.cpu.bandwidth_source) == (42.5, "measured")
    assert machine.cpu_info is CPU
    unmeasured = machine_from(Survey(), None, MEMORY, CPU).cpu
    assert (unmeasured.bandwidth_gb_s, unmeasured.bandwidth_source) == (None, None)


def test_this_machine(tmp_path: Path) -> None:
    machine = read_machine(cache=tmp_path)
    assert machine.cpu.name == machine.cpu_info.name
    assert machine.cpu.bandwidth_gb_s is None, "it is never measured unasked"
    assert not machine.simulated
