"""A conversation with the model through the SDK's tool runner, one request at a time.

Owns the client, the order of requests and tool runs, fallback models and the transcript. The caller decides before
each request whether there is one, and hears of every attempt before it is sent.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from watchbill.tools.model.contract import ModelTrouble, Reply, Tool, ToolRefused, Usage
from watchbill.tools.model.outgoing import Outgoing
from watchbill.tools.model.trouble import trouble_from
from watchbill.tools.redaction import redact

RETRIES = 2
LONGEST_WAIT = 60.0
DEEPEST_INPUT = 64
TRY_ANOTHER_MODEL = ("busy", "no such model")


@dataclass(frozen=True)
class Access:
    """How the model is reached: key, models in the order in which they are tried, limits of one answer."""

    key: str = field(repr=False)
    models: tuple[str, ...]
    max_tokens: int
    timeout_seconds: float


class Conversation:
    """One conversation. Ask, run the tools that the reply calls, ask again.

    `before_attempt(is_retry)` is called before each HTTP request and may raise to forbid it. `on_reply` sees each
    reply, for recording.
    """

    def __init__(
        self,
        access: Access,
        system: str,
        first: str,
        tools: Sequence[Tool],
        headers: Mapping[str, str],
        before_attempt: Callable[[bool], None],
        on_reply: Callable[[Reply], None] = lambda _: None,
    ) -> None:
        self.access = access
        self.system = system
        self.tools = tools
        self.headers = dict(headers)
        self.before_attempt = before_attempt
        self.on_reply = on_reply
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": first}]
        self.model = access.models[0]
        self._runner: Any = None
        self._forced: str | None = None
        self._attempted = False
        self._outgoing = Outgoing(redact)

    async def __aenter__(self) -> Conversation:
        import anthropic

        # The SDK warns about unknown tools on the terminal; it is the model that is told.
        warnings.filterwarnings("ignore", message="Tool '.*' not found in tool runner", category=UserWarning)
        # Nor is the owner told how the SDK's models differ from what an odd server sends.
        warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
        self._client = anthropic.AsyncAnthropic(
            api_key=self.access.key,
            max_retries=RETRIES,
            timeout=self.access.timeout_seconds,
            middleware=[self._watch_attempts],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.close()
        await self._client.close()

    def force_next(self, tool: str) -> None:
        """Make the next request demand a call of `tool`. To be said before `run_tools`."""
        self._forced = tool
        if self._runner is not None:
            self._runner.set_messages_params(lambda params: {**params, "tool_choice": self._choice()})

    async def ask(self) -> Reply:
        """Send one request and return the reply. Raises `ModelTrouble` when no model answers."""
        models = tuple(dict.fromkeys(self.access.models))
        start = models.index(self.model)
        for place, model in enumerate(models[start:], start=start):
            try:
                return await self._ask(model)
            except ModelTrouble as trouble:
                is_last = place == len(models) - 1
                if is_last or trouble.kind not in TRY_ANOTHER_MODEL:
                    raise
                self._runner = None
        raise AssertionError("there is always a last model")

    async def run_tools(self) -> None:
        """Run the tools that the last reply calls; their results go out with the next request."""
        results = await self._runner.generate_tool_call_response()
        if results is not None:
            self.messages.append(results)

    async def _ask(self, model: str) -> Reply:
        if self._runner is None or model != self.model:
            self.model = model
            self._runner = self._start(model)
        self._attempted = False
        try:
            async with asyncio.timeout(self.access.timeout_seconds * (RETRIES + 1)):
                message = await anext(self._runner)
            _refuse_depths(message.content)
        except StopAsyncIteration:
            raise ModelTrouble("foreign", "the conversation ended before a request was made") from None
        except Exception as error:
            self._runner = None
            trouble = trouble_from(error, model)
            if trouble is None or not self._attempted:
                raise
            if self.access.key in f"{trouble.reason}{error}":
                # The server said it back. Nobody needs to read it, in a traceback either.
                raise ModelTrouble(trouble.kind, trouble.reason.replace(self.access.key, "(the key)")) from None
            raise trouble from error
        reply = _read(message, model)
        self.messages.append({"role": "assistant", "content": message.content})
        self.on_reply(reply)
        return reply

    def _start(self, model: str) -> Any:
        params: dict[str, Any] = {}
        if self._forced:
            params["tool_choice"] = self._choice()
        messages: Any = self._client.beta.messages  # its overloads ask for the SDK's own types of plain mappings
        return messages.tool_runner(
            model=model,
            max_tokens=self.access.max_tokens,
            system=self.system,
            messages=list(self.messages),
            tools=[_for_sdk(tool) for tool in self.tools],
            thread=False,
            cache_control={"type": "ephemeral"},
            extra_headers=self.headers,
            timeout=self.access.timeout_seconds,
            **params,
        )

    def _choice(self) -> dict[str, Any]:
        return {"type": "tool", "name": self._forced}

    async def _watch_attempts(self, request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        # Before it is counted: what cannot be searched for secrets is not sent, and costs nothing.
        sent = request.copy(body=self._outgoing.redacted(request.json or {}))
        self.before_attempt(self._attempted)
        self._attempted = True
        response = await call_next(sent)
        wait = _seconds_asked_for(response.headers)
        if _will_be_tried_again(response) and wait > LONGEST_WAIT:
            raise ModelTrouble("busy", f"the model's server asks to wait {wait:.0f} seconds ({response.status_code})")
        return response


def _for_sdk(tool: Tool) -> Any:
    from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool, ToolError

    class Adapter(BetaAsyncBuiltinFunctionTool):
        def to_dict(self) -> Any:
            return tool.definition()

        async def call(self, input: object) -> Any:
            try:
                return await tool.call(input)
            except ToolRefused as refusal:
                raise ToolError(str(refusal)) from refusal

    return Adapter()


def _refuse_depths(content: Any) -> None:
    """A call whose input is nested without sense could be neither passed on nor sent back to the model."""
    layer = [getattr(block, "input", None) for block in content]
    for _ in range(DEEPEST_INPUT):
        layer = [inner for value in layer if isinstance(value, dict | list) for inner in _inside(value)]
    if layer:
        raise ModelTrouble("foreign", f"the model called a tool with input nested deeper than {DEEPEST_INPUT} levels")


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _read(message: Any, asked: str) -> Reply:
    content = tuple(block.to_dict() for block in message.content)
    usage = message.usage
    return Reply(
        stop_reason=str(message.stop_reason or "nothing"),
        text="\n".join(str(block.get("text") or "") for block in content if block.get("type") == "text").strip(),
        tools=tuple(str(block.get("name")) for block in content if block.get("type") == "tool_use"),
        model=message.model if isinstance(message.model, str) and message.model else asked,
        usage=Usage(
            input=_count(usage, "input_tokens"),
            cache_read=_count(usage, "cache_read_input_tokens"),
            cache_write=_count(usage, "cache_creation_input_tokens"),
            output=_count(usage, "output_tokens"),
        ),
        content=content,
    )


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value >= 0 else 0


def _will_be_tried_again(response: Any) -> bool:
    """Whether the SDK retries such an answer, and so would wait as long as the server asks."""
    told = response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return bool(told == "true")
    return response.status_code in (408, 409, 429) or response.status_code >= 500


def _seconds_asked_for(headers: Mapping[str, str]) -> float:
    """How long the SDK would wait: milliseconds before seconds, and a date at last."""
    for name, unit in (("retry-after-ms", 1_000), ("retry-after", 1)):
        with suppress(KeyError, ValueError):
            return float(headers[name]) / unit
    date = parsedate_tz(headers.get("retry-after", ""))
    return mktime_tz(date) - time.time() if date else 0.0
