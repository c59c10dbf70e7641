"""Realistic machines, offers, downloads and questions for the assistant and the dialogs of the model flows."""

from __future__ import annotations

from dataclasses import replace

from backends.errors import Problem
from widgets.assistant_values import AssistantView, ImportAsk, MoveAsk
from widgets.model_values import (
    DeviceBar,
    DownloadLine,
    InstalledLine,
    LeverLine,
    LicenceView,
    LoadWarning,
    MachineView,
    ModelRow,
    RepoFileLine,
)
from widgets.values import AcceptedLicence, SettingsView

GIB = 2**30
GPU = DeviceBar(
    "NVIDIA GeForce RTX 4090", "gpu", 24 * GIB, 3 * GIB, 21 * GIB, detail="driver 580.95, 1,008 GB/s",
    in_use_by=("Google Chrome", "Xorg"),
)  # fmt: skip
CPU = DeviceBar("AMD Ryzen 9 7950X", "cpu", 64 * GIB, 41 * GIB, 23 * GIB, detail="16 cores, 71 GB/s measured")
NO_BUILD = Problem(
    "build_without_gpu",
    "The llama.cpp here was built without GPU support, so the RTX 4090 stays unused.",
    "Models run on the processor.",
    "Close Nearfar and run `make llama GPU=cuda`, then start it again.",
)
COMMUNITY = "Llama 3.1 Community License"
EIGHT = ModelRow(
    ref="llama-3.1-8b:Q6_K", model="Llama 3.1 8B Instruct", quant="Q6_K", parameters=8_030_261_248,
    file_bytes=6_596_011_168, verdict="gpu", gpu_layers=33, n_layers=33, n_ctx=8192, needs_bytes=8 * GIB,
    missing_bytes=0, tok_s_low=95.0, tok_s_high=130.0, own_runs=0, kld=0.0055, quality_note="", rank=1,
    reason="The best answers that fit whole into the free memory of your graphics card and still come fast.",
    state="available", licence=COMMUNITY, repo="bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", credit="Built with Llama",
)  # fmt: skip
THREE = replace(
    EIGHT, ref="llama-3.2-3b:Q4_K_M", model="Llama 3.2 3B Instruct", quant="Q4_K_M", file_bytes=2_019_377_696,
    tok_s_low=190.0, tok_s_high=260.0, kld=0.0282, rank=2, licence="Llama 3.2 Community License",
    reason="About twice as fast; its answers know less.",
)  # fmt: skip
SEVENTY = replace(
    EIGHT, ref="llama-3.3-70b:IQ3_M", model="Llama 3.3 70B Instruct", quant="IQ3_M", file_bytes=31_937_034_000,
    verdict="split", gpu_layers=48, n_layers=81, tok_s_low=2.1, tok_s_high=3.4, kld=None, rank=3,
    licence="Llama 3.3 Community License", reason="Better answers, but a part runs on the processor: slow to read.",
)  # fmt: skip
FOUND = AssistantView(MachineView((GPU, CPU)), (EIGHT, THREE, SEVENTY), folder_free_bytes=210 * GIB)
TROUBLED = replace(FOUND, machine=MachineView((GPU, CPU), (NO_BUILD,)))
NO_GPU = replace(FOUND, machine=MachineView((CPU,)), offers=(replace(THREE, rank=1, verdict="ram", gpu_layers=0),))
NOTHING_FITS = replace(FOUND, offers=(), no_offer="No model of the catalogue fits the 900 MiB that are free now.")
RUNNING = DownloadLine(
    EIGHT.ref, "Llama 3.1 8B Instruct, Q6_K", "running", 2_640_000_000, EIGHT.file_bytes, 38_200_000.0, 104.0
)
DOWNLOADING = replace(FOUND, download=RUNNING)
ASKING = replace(FOUND, download=replace(RUNNING, state="queued", received_bytes=0, total_bytes=None, asking_hub=True))
READY = replace(FOUND, download=replace(RUNNING, state="done", received_bytes=EIGHT.file_bytes))
NO_NETWORK = Problem(
    "hub_unreachable", "huggingface.co does not answer.", "What was downloaded so far is kept.", "Check the network."
)
FAILED = replace(FOUND, download=replace(RUNNING, state="failed", problem=NO_NETWORK))

LICENCE = LicenceView(
    "llama3.1", COMMUNITY, "https://www.llama.com/llama3_1/license/", "Built with Llama",
    "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta Platforms, Inc.",
)  # fmt: skip
LEVERS = (
    LeverLine("quant", "Q4_K_M", "gpu", 33, 1_690_000_000, "llama-3.1-8b:Q4_K_M"),
    LeverLine("context", "4096", "split", 29, 512 * 2**20),
    LeverLine("kv_type", "q8_0", "split", 30, 480 * 2**20),
)
WARNING = LoadWarning(
    "Llama 3.1 8B Instruct, Q6_K", "NVIDIA GeForce RTX 4090", 6_335_076_762, 3_328_599_654,
    ("Google Chrome", "ollama", "Google Chrome"), LEVERS,
)  # fmt: skip
INSTALLED = InstalledLine(
    EIGHT.ref, "Llama 3.1 8B Instruct", "Q6_K", EIGHT.file_bytes, "verified", None, "",
    "/home/anna/.local/share/nearfar/models/Meta-Llama-3.1-8B-Instruct-Q6_K.gguf", None, True,
)  # fmt: skip
FOREIGN = replace(INSTALLED, origin="LM Studio", can_remove=False, path="/home/anna/.lmstudio/models/m/m-Q6_K.gguf")
REPO_FILES = (
    RepoFileLine("hf:o/r/m-Q4_K_M.gguf", "Llama-3.2-3B-Instruct-Q4_K_M.gguf", "Q4_K_M", 2_019_377_696, 1, True),
    RepoFileLine("hf:o/r/m-Q8_0.gguf", "Llama-3.2-3B-Instruct-Q8_0.gguf", "Q8_0", 3_421_899_296, 1, True),
    RepoFileLine("hf:o/r/m-F16.gguf", "Llama-3.2-3B-Instruct-F16.gguf", "F16", 6_433_687_776, 2, True),
    RepoFileLine("hf:o/r/odd.gguf", "odd.gguf", None, None, 1, False),
)
IMPORT = ImportAsk(("/home/anna/Downloads/mine.Q5_K_M.gguf",), 5_733_000_000, "/data/models", 210 * GIB)
MOVE = MoveAsk("/home/anna/.local/share/nearfar/models", "/data/models", 3, 14 * GIB, 210 * GIB)
SETTINGS = SettingsView(
    n_ctx=8192, models_folder="/home/anna/.local/share/nearfar/models", models_folder_free_bytes=210 * GIB,
    download_limit_mb_s=12.5, accepted_licences=(AcceptedLicence("llama3.1", COMMUNITY), AcceptedLicence("mit")),
    added_repos=("TheBloke/Mistral-7B-Instruct-v0.2-GGUF",),
)  # fmt: skip
