"""The errors a person may meet, each with its own words. Must not know how they are shown.

NearfarError
├── UsageError              the command or field was typed wrong; nothing was started (exit code 2)
│   ├── UnknownTarget
│   ├── BadAddress
│   └── BadServerName
├── ModelError              the model file or what was asked of it
│   ├── ModelMissing
│   ├── NotAModel
│   ├── ModelUnusable
│   ├── PromptTooLong
│   └── TemplateFailed
├── WorkerError             the process that runs llama.cpp
│   ├── WorkerDied
│   ├── WorkerSilent
│   └── WorkerConfused
├── CloudError              a server that speaks the OpenAI protocol
│   ├── KeyMissing
│   ├── KeyRefused
│   ├── KeyNotAllowed
│   ├── QuotaUsedUp
│   ├── TooManyRequests
│   ├── CloudModelUnknown
│   ├── RequestRefused
│   ├── ServerFailed
│   ├── Unreachable
│   ├── ConnectionLost
│   ├── Stalled
│   ├── NotAnApi
│   ├── RedirectRefused
│   ├── UnreadableReply
│   └── AnswerTooLarge
├── NetworkNotAllowed       the user's own policy refused the connection
│   └── NetworkCutOff       it was switched on in mid-answer: what was asked had been sent
├── RouteUnusable           the proxy or the certificate file of the settings cannot be used
├── KeyNotKept              the keyring did not take a key, or did not give it back
├── BudgetReached           the answer could cost more than what is left of a budget; nothing was sent
├── PricesNotUpdated        the new table of prices could not be fetched or read
├── PracticeFailed          the practice endpoint on this machine did not start
├── HistoryUnavailable      the history file cannot be read or written
└── SettingsNotSaved        the settings file cannot be written, or a value is out of its limits

Cancelling is not an error and has no class here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a value: what happened, what is safe, and one thing to do next."""

    code: str
    what: str
    safe: str
    fix: str

    @property
    def sentence(self) -> str:
        """All three parts as plain text."""
        return " ".join(part for part in (self.what, self.safe, self.fix) if part)


def unread(code: str, file: Path, warnings: Sequence[str], otherwise: str) -> Problem | None:
    """What a file's reader had to say, as one problem; None where that is nothing."""
    if not warnings:
        return None
    return Problem(code, " ".join(warnings), "", f"Make {file} whole and readable again, or {otherwise} in Settings.")


class NearfarError(Exception):
    """Base of every error with words for a person; `what`, `safe` and `fix` are sentences."""

    code: ClassVar[str] = "error"
    safe: ClassVar[str] = "Your prompt and any text that arrived are kept."
    fix: ClassVar[str] = "Try again."

    def __init__(self, what: str, *, safe: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.problem = Problem(
            code=self.code,
            what=what,
            safe=self.safe if safe is None else safe,
            fix=self.fix if fix is None else fix,
        )

    def __str__(self) -> str:
        return self.problem.sentence


class UsageError(NearfarError):
    code = "usage"
    safe = "Nothing was started."
    fix = "See `nearfar --help`."


class UnknownTarget(UsageError):
    code = "unknown_target"
    fix = "Targets look like local:demo, local:/path/to/file.gguf, openai:gpt-4o or practice."


class BadAddress(UsageError):
    code = "bad_address"
    fix = "Give an address such as https://api.openai.com/v1 or http://127.0.0.1:8080/v1."


class BadServerName(UsageError):
    code = "bad_server_name"
    safe = "Nothing was changed."
    fix = "Choose a name of at most 40 small letters, digits, dots, dashes or underscores, as lab."


class ModelError(NearfarError):
    code = "model"


class ModelMissing(ModelError):
    code = "model_missing"
    fix = "Choose another model, or give the path of a .gguf file."


class NotAModel(ModelError):
    code = "not_a_model"
    fix = "Download the file again, or choose another .gguf file."


class ModelUnusable(ModelError):
    code = "model_unusable"
    fix = "Choose a smaller model or a shorter context, or download the file again."


class PromptTooLong(ModelError):
    code = "prompt_too_long"
    safe = "Nothing was sent and your prompt is kept."
    fix = "Shorten the prompt, or choose a longer context."


class TemplateFailed(ModelError):
    code = "template_failed"
    fix = "Choose another model file, or ask for the plain chat format."


class WorkerError(NearfarError):
    code = "worker"
    fix = "Press Retry: the model is loaded again in a new process."


class WorkerDied(WorkerError):
    code = "worker_died"


class WorkerSilent(WorkerError):
    code = "worker_silent"


class WorkerConfused(WorkerError):
    code = "worker_confused"


class CloudError(NearfarError):
    code = "cloud"


class KeyMissing(CloudError):
    code = "key_missing"
    safe = "Nothing was sent."
    fix = "Enter an API key for this provider, or choose a local model."


class KeyRefused(CloudError):
    code = "key_refused"
    fix = "Check the API key and enter it again."


class KeyNotAllowed(CloudError):
    """The server knows the key and does not let it do this; the key stays as it is."""

    code = "key_not_allowed"
    fix = "Check what the key may do, or choose another model."


class QuotaUsedUp(CloudError):
    code = "quota_used_up"
    fix = "Check the plan and billing of your account with the provider."


class TooManyRequests(CloudError):
    code = "too_many_requests"
    fix = "Wait a little, then press Retry."


class CloudModelUnknown(CloudError):
    code = "cloud_model_unknown"
    fix = "Choose another model."


class RequestRefused(CloudError):
    code = "request_refused"
    fix = "Change the prompt or the parameters, then press Retry."


class ServerFailed(CloudError):
    code = "server_failed"
    fix = "Press Retry in a minute."


class Unreachable(CloudError):
    code = "unreachable"
    fix = "Check the address and the network, then press Retry."


class ConnectionLost(CloudError):
    code = "connection_lost"
    safe = "The text that arrived is kept; the answer is incomplete."
    fix = "Press Retry."


class Stalled(CloudError):
    code = "stalled"
    safe = "The text that arrived is kept; the answer is incomplete."
    fix = "Press Retry."


class NotAnApi(CloudError):
    code = "not_an_api"
    fix = "Check the address; if you are behind a sign-in page, sign in first."


class RedirectRefused(CloudError):
    code = "redirect_refused"
    safe = "Your prompt was not sent on."
    fix = "Check the address of this server."


class UnreadableReply(CloudError):
    code = "unreadable_reply"
    safe = "The text that arrived is kept; the answer is incomplete."
    fix = "Press Retry."


class AnswerTooLarge(CloudError):
    code = "answer_too_large"
    safe = "The first part of the answer is kept."
    fix = "Ask for a shorter answer, or set a token limit."


class NetworkNotAllowed(NearfarError):
    code = "network_not_allowed"
    safe = "Nothing was sent."
    fix = "Choose a local model, or allow this host by turning local only off."


class NetworkCutOff(NetworkNotAllowed):
    code = "network_cut_off"
    safe = "What was asked had been sent before. The text that arrived is kept."
    fix = "Turn local only off and press Retry, or use a local model."


class RouteUnusable(NearfarError):
    code = "route_unusable"
    safe = "Nothing was sent."
    fix = "Look at the proxy and the certificates in Settings."


class KeyNotKept(NearfarError):
    code = "key_not_kept"
    safe = "The key is kept in memory for this session only, and nowhere else."
    fix = "Unlock or install a keyring, then enter the key again."


class BudgetReached(NearfarError):
    code = "budget_reached"
    safe = "Nothing was sent, and your prompt is kept."
    fix = "Raise the budget in Settings, ask for a shorter answer, or choose a local model."


class PricesNotUpdated(NearfarError):
    code = "prices_not_updated"
    safe = "The prices that were known before are still used."
    fix = "Try again later."


class PracticeFailed(NearfarError):
    code = "practice_failed"
    fix = "Press Retry, or use a local model alone."


class HistoryUnavailable(NearfarError):
    code = "history_unavailable"
    safe = "Your file was not changed."
    fix = "Check that the folder can be written; runs go on without history."


class SettingsNotSaved(NearfarError):
    code = "settings_not_saved"
    safe = "The settings as they were saved last are untouched."
    fix = "Check that the folder can be written and the disk is not full."
