"""Which backend llama.cpp is built for, on every kind of machine. It must not depend on the one that runs it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gpu
import pytest
from gpu import Facts
from shell import Stop

BARE = Facts("Linux")
VULKAN = Facts("Linux", glslc="/usr/bin/glslc", vulkan_headers="good", spirv_headers=True, gpu_node=True)


@pytest.mark.parametrize(
    ("facts", "backend", "said"),
    [
        (BARE, "cpu", "no GPU was found"),
        (Facts("Linux", nvcc="nvcc", cublas=True, nvidia_driver=True), "cuda", "Nothing would be faster"),
        (
            Facts("Linux", nvcc="nvcc", cublas=True),
            "cpu",
            "no NVIDIA driver: install the driver to use the GPU, or force the build with GPU=cuda",
        ),
        (Facts("Linux", nvidia_driver=True), "cpu", "install the CUDA toolkit (nvcc was not found)"),
        (Facts("Linux", nvcc="nvcc", nvidia_driver=True), "cpu", "install the CUDA toolkit (cuBLAS was not found)"),
        (VULKAN, "vulkan", "Vulkan's headers are here"),
        (dataclasses.replace(VULKAN, nvidia_driver=True), "vulkan", "the CUDA toolkit would be faster"),
        (
            dataclasses.replace(VULKAN, nvcc="nvcc", cublas=True, nvidia_driver=True),
            "cuda",
            "nvcc and an NVIDIA driver",
        ),
        (dataclasses.replace(VULKAN, vulkan_headers="old"), "cpu", "newer Vulkan headers"),
        (
            dataclasses.replace(VULKAN, glslc=None, vulkan_headers="none"),
            "cpu",
            "install glslc and install libvulkan-dev",
        ),
        (dataclasses.replace(VULKAN, gpu_node=False), "cpu", "no GPU was found"),
        (Facts("Darwin", machine="arm64"), "metal", "the Mac's GPU"),
        (Facts("Darwin", machine="x86_64"), "cpu", "GPU=metal tries it"),
        (Facts("Windows", nvcc="nvcc", cublas=True, nvidia_driver=True), "cuda", "nvcc and an NVIDIA driver"),
    ],
)
def test_auto_takes_the_best_that_can_be_built_and_used(facts: Facts, backend: str, said: str) -> None:
    choice = gpu.choose("auto", facts)
    assert choice.backend == backend
    assert said in choice.reason
    assert "\n" not in choice.reason


@pytest.mark.parametrize(
    ("wanted", "facts", "lack"),
    [
        ("cuda", BARE, "nvcc was not found"),
        ("cuda", Facts("Linux", nvcc="nvcc"), "cuBLAS was not found"),
        ("metal", BARE, "only on macOS"),
        ("vulkan", BARE, "install glslc and install libvulkan-dev and install spirv-headers"),
    ],
)
def test_a_backend_that_cannot_be_built_is_refused_with_what_it_lacks(wanted: str, facts: Facts, lack: str) -> None:
    with pytest.raises(Stop, match=lack):
        gpu.choose(wanted, facts)


def test_cuda_can_be_forced_without_a_driver_and_says_what_that_means() -> None:
    choice = gpu.choose("cuda", Facts("Linux", nvcc="nvcc", cublas=True))
    assert choice.defines == (("GGML_CUDA", "ON"), ("CMAKE_CUDA_ARCHITECTURES", "all-major"))
    assert "will not load on this machine" in choice.reason


def test_cuda_is_built_for_the_gpu_that_is_here_unless_cudaarchs_says_otherwise() -> None:
    here = Facts("Linux", nvcc="nvcc", cublas=True, nvidia_driver=True)
    assert gpu.choose("auto", here).defines == (("GGML_CUDA", "ON"),)
    other = gpu.choose("auto", dataclasses.replace(here, cuda_architectures="86;89"))
    assert other.defines == (("GGML_CUDA", "ON"), ("CMAKE_CUDA_ARCHITECTURES", "86;89"))


def test_vulkan_can_be_forced_without_a_gpu() -> None:
    assert gpu.choose("vulkan", dataclasses.replace(VULKAN, gpu_node=False)).defines == (("GGML_VULKAN", "ON"),)


def test_the_cpu_is_always_possible() -> None:
    assert gpu.choose("cpu", VULKAN).backend == "cpu"


@pytest.mark.parametrize(
    ("header", "found"),
    [(None, "none"), ("#define VK_KHR_surface 1", "old"), ("#define VK_EXT_layer_settings 1", "good")],
)
def test_vulkan_headers_are_judged_by_what_ggml_needs_of_them(
    header: str | None, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VULKAN_SDK", str(tmp_path))
    monkeypatch.setattr(gpu, "SYSTEM_ROOTS", ())
    if header:
        folder = tmp_path / "include" / "vulkan"
        folder.mkdir(parents=True)
        (folder / "vulkan_core.h").write_text(header, encoding="utf-8")
    assert gpu.look().vulkan_headers == found


def test_a_compiler_that_changes_makes_another_build(tmp_path: Path) -> None:
    nvcc = tmp_path / "nvcc"
    facts = Facts("Linux", nvcc=str(nvcc))
    answers = []
    for version in ("13.0", "13.1"):
        nvcc.write_text(f"#!/bin/sh\necho release {version}\n", encoding="utf-8")
        nvcc.chmod(0o755)
        answers.append(gpu.toolchain("cuda", facts))
    assert answers[0][0] == "release 13.0"
    assert answers[0] != answers[1]
    assert gpu.toolchain("cpu", facts) == []
