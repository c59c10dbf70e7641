"""What can go wrong with catalogue, downloads and files, each in its own words. Must not know how they are shown.

NearfarError
├── DownloadError
│   ├── RepoMissing         no such repo, revision or file
│   │   └── RepoHidden      shown to nobody without a token: missing, private or gated
│   ├── RepoGated           the repo wants a token, or its licence accepted on the hub
│   ├── HubUnreachable      no network, or the hub does not answer
│   ├── NotTheFile          a web page or something else came in place of the file
│   ├── FileMismatch        size or sha256 is not what it should be
│   ├── ServerMisbehaved    broken ranges, endless bodies, redirects to where nobody agreed to go
│   ├── DiskFull
│   ├── NameTaken           another file lies where this one is to go
│   └── LicenceNotAccepted
├── LibraryError            the models folder, or a file in it
│   ├── FolderUnusable
│   │   └── FolderMissing   it held models once, and is gone or another one now
│   └── InUse
├── BadReference            a repo id, file name or ref that is none
├── NotRunnable             llama.cpp cannot run this model
└── WouldNotFit             the free memory does not hold it now
"""

from __future__ import annotations

from backends.errors import NearfarError, UsageError


class DownloadError(NearfarError):
    code = "download"
    safe = "What was downloaded so far is kept."
    fix = "Press Resume to go on where it stopped."


class RepoMissing(DownloadError):
    code = "repo_missing"
    safe = "Nothing was downloaded."
    fix = "Check the name on huggingface.co; a private repo needs a token."


class RepoHidden(RepoMissing):
    code = "repo_hidden"
    fix = "Check the name; if you have access to it, give an access token."


class RepoGated(DownloadError):
    code = "repo_gated"
    safe = "Nothing was downloaded."
    fix = "Accept its licence on huggingface.co, then give an access token, or choose a repo without a gate."


class HubUnreachable(DownloadError):
    code = "hub_unreachable"
    fix = "Check the network, then press Resume."


class NotTheFile(DownloadError):
    code = "not_the_file"
    fix = "If this network has a sign-in page, sign in with a browser, then press Resume."


class FileMismatch(DownloadError):
    code = "file_mismatch"
    safe = "The damaged file was removed; no other file was touched."
    fix = "Try again later; if it stays so, the file on the server has changed."


class ServerMisbehaved(DownloadError):
    code = "server_misbehaved"


class DiskFull(DownloadError):
    code = "disk_full"
    fix = "Free space on this disk or move the models folder, then press Resume."


class NameTaken(DownloadError):
    code = "name_taken"
    safe = "It was not touched, and what was downloaded so far is kept."


class LicenceNotAccepted(DownloadError):
    code = "licence_not_accepted"
    safe = "Nothing was downloaded."
    fix = "Read the licence and accept it, or choose another model."


class LibraryError(NearfarError):
    code = "library"
    safe = "No model file was changed."


class FolderUnusable(LibraryError):
    code = "models_folder"
    fix = "Choose another folder for models in Settings."


class FolderMissing(FolderUnusable):
    code = "models_folder_missing"
    safe = "Nothing was removed, and nothing is put in its place."
    fix = "Connect its disk again; if models are to start anew there, choose the folder again in Settings."


class InUse(LibraryError):
    code = "model_in_use"
    fix = "Stop the run that uses this model, then try again."


class BadReference(UsageError):
    code = "bad_reference"
    fix = "Names look like llama-3.1-8b:Q4_K_M or hf:OWNER/REPO/FILE.gguf."


class NotRunnable(NearfarError):
    code = "not_runnable"
    safe = "Nothing was downloaded."
    fix = "Choose a text model of the catalogue."


class WouldNotFit(NearfarError):
    code = "would_not_fit"
    safe = "Nothing was loaded and your prompt is kept."
    fix = "Free memory on that device, choose a smaller quant or a shorter context, or load it anyway."
