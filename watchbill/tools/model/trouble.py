"""Turning what the SDK raises into `ModelTrouble`.

Owns the reading of status codes and of what a server that is none of ours answers.
"""

from __future__ import annotations

import json
import re

from watchbill.tools.model.contract import ModelTrouble, TroubleKind
from watchbill.tools.redaction import redact

_BY_STATUS: dict[int, tuple[TroubleKind, str]] = {
    401: ("key", "the model's server does not accept the API key (401)"),
    402: ("spent", "the account's spending limit is reached (402)"),
    403: ("key", "the API key may not use this model (403)"),
    404: ("no such model", "the model's server does not know the model, or the address is wrong (404)"),
    413: ("rejected", "the request is too large for the model's server (413)"),
    429: ("busy", "the model's server asks for fewer requests (429)"),
    529: ("busy", "the model's server is overloaded (529)"),
}
_SPENT = re.compile(r"credit balance|spend(?:ing)? limit|usage limit|billing", re.IGNORECASE)


def trouble_from(error: BaseException, model: str) -> ModelTrouble | None:
    """What an exception out of a request means, or None when it is a defect of ours."""
    import anthropic

    if isinstance(error, ModelTrouble):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return _from_status(error.status_code, error.body, str(error), model)
    if isinstance(error, anthropic.APITimeoutError | TimeoutError):
        return ModelTrouble("unreachable", "the model's server did not answer in time")
    if isinstance(error, anthropic.APIConnectionError):
        return ModelTrouble("unreachable", f"the model's server cannot be reached ({error.__cause__ or error})")
    if isinstance(error, UnicodeEncodeError):
        return ModelTrouble("rejected", "the model wrote broken characters, which cannot be sent back to it")
    if isinstance(
        error, anthropic.APIError | json.JSONDecodeError | AttributeError | TypeError | ValueError | RecursionError
    ):
        # While a request is under way these mean that the answer was no message at all.
        reason = "what answered does not speak the Messages API (an HTML page or another service?)"
        return ModelTrouble("foreign", reason)
    return None


def _from_status(status: int, body: object, text: str, model: str) -> ModelTrouble:
    said = _message(body) or _short(text)
    if status == 400 and _SPENT.search(said):
        return ModelTrouble("spent", f"the account's spending limit is reached: {_short(said)}")
    if status == 404 and isinstance(body, str):
        return ModelTrouble("foreign", "the address answers with a page that is not the Messages API (404)")
    if status in _BY_STATUS:
        kind, reason = _BY_STATUS[status]
        named = f" [{model}]" if kind == "no such model" else ""
        return ModelTrouble(kind, f"{reason}{named}: {_short(said)}")
    if status >= 500:
        return ModelTrouble("busy", f"the model's server failed ({status}): {_short(said)}")
    return ModelTrouble("rejected", f"the model's server refused the request ({status}): {_short(said)}")


def _message(body: object) -> str:
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])
    return ""


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 300 else redact(flat)[:299] + "…"
