"""Which backend llama.cpp is built for, on every kind of machine. It must not depend on the one that runs it."""

from __future__ import annotations

import dataclasses

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
        (Facts("Linux", nvcc="nvcc", nvidia_driver=True), "cuda", "Nothing would be faster"),
        (
            Facts("Linux", nvcc="nvcc"),
            "cpu",
            "no NVIDIA driver: install the driver to use the GPU, or force the build with GPU=cuda",
        ),
        (Facts("Linux", nvidia_driver=True), "cpu", "Install the CUDA toolkit"),
        (VULKAN, "vulkan", "Vulkan's headers are here"),
        (dataclasses.replace(VULKAN, nvidia_driver=True), "vulkan", "the CUDA toolkit would be faster"),
        (dataclasses.replace(VULKAN, nvcc="nvcc", nvidia_driver=True), "cuda", "nvcc and an NVIDIA driver"),
        (dataclasses.replace(VULKAN, vulkan_headers="old"), "cpu", "newer Vulkan headers"),
        (
            dataclasses.replace(VULKAN, glslc=None, vulkan_headers="none"),
            "cpu",
            "install glslc and install libvulkan-dev",
        ),
        (dataclasses.replace(VULKAN, gpu_node=False), "cpu", "no GPU was found"),
        (Facts("Darwin", machine="arm64"), "metal", "the Mac's GPU"),
        (Facts("Darwin", machine="x86_64"), "cpu", "GPU=metal tries it"),
        (Facts("Windows", nvcc="nvcc", nvidia_driver=True), "cuda", "nvcc and an NVIDIA driver"),
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
        ("metal", BARE, "only on macOS"),
        ("vulkan", BARE, "install glslc and install libvulkan-dev and install spirv-headers"),
    ],
)
def test_a_backend_that_cannot_be_built_is_refused_with_what_it_lacks(wanted: str, facts: Facts, lack: str) -> None:
    with pytest.raises(Stop, match=lack):
        gpu.choose(wanted, facts)


def test_cuda_can_be_forced_without_a_driver_and_says_what_that_means() -> None:
    choice = gpu.choose("cuda", Facts("Linux", nvcc="nvcc"))
    assert choice.defines == (("GGML_CUDA", "ON"),)
    assert "will not load on this machine" in choice.reason


def test_vulkan_can_be_forced_without_a_gpu() -> None:
    assert gpu.choose("vulkan", dataclasses.replace(VULKAN, gpu_node=False)).defines == (("GGML_VULKAN", "ON"),)


def test_the_cpu_is_always_possible() -> None:
    assert gpu.choose("cpu", VULKAN).backend == "cpu"
