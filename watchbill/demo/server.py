"""The scripted model: a loopback server that speaks the Messages API and says what a script tells it to.

Owns the playing of a script: which session gets which take, and the exact bytes on the wire. It listens on 127.0.0.1
only, never reaches out, and never looks at what it is asked beyond refusing what the real API would refuse. What it is
told is kept in `requests`, without credentials.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from watchbill.documents.script import Failed, Reply, Said, Script, Take, Text, Usage

MAX_REQUEST_BYTES = 64 * 1024 * 1024
_CREDENTIALS = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Request:
    """One request as it arrived. Header names are in lower case; the value of a credential is hidden."""

    headers: Mapping[str, str]
    body: dict[str, Any]
    agent: str
    ticket: str
    session: str


@dataclass(frozen=True)
class Leftover:
    """A take that was not played to its end. `played` counts the replies that were."""

    take: Take
    played: int

    def __str__(self) -> str:
        return f"{self.take.agent} on {self.take.ticket}: {self.played} of {len(self.take.replies)} replies played"


class ScriptedModel:
    """Plays a script to whoever asks, from `__enter__` to `__exit__`. Safe for any number of sessions at once.

    with ScriptedModel(script) as model:
        client = anthropic.AsyncAnthropic(base_url=model.url, api_key="none")
    """

    def __init__(self, script: Script) -> None:
        self._takes = script.takes
        self._played = [0] * len(script.takes)
        self._take_of: dict[tuple[str, str, str], int] = {}
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> ScriptedModel:
        self._closing.clear()
        self._server = _Server(self)
        # `shutdown()` waits for the next poll, so the poll is short.
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="scripted-model", daemon=True)
        serve.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        self._closing.set()
        server.shutdown()
        server.server_close()
        server.hang_up()

    @property
    def url(self) -> str:
        """The base URL to give to a client. Only while the server runs."""
        if self._server is None:
            raise RuntimeError("the scripted model has an address only inside its `with` block")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """Every well-formed request for a message so far, in order of arrival, the unanswerable ones too."""
        with self._lock:
            return list(self._requests)

    def unused(self) -> list[Leftover]:
        """The takes that nobody asked for, or not to their end, in the order of the script."""
        with self._lock:
            played = list(self._played)
        pairs = zip(self._takes, played, strict=True)
        return [Leftover(take, count) for take, count in pairs if count < len(take.replies)]

    def answer(self, request: Request) -> tuple[Reply, str]:
        """The next reply for that request's session, and a name for it that is unique in the script.

        Raises LookupError, naming agent, ticket, session and reply, when the script has none.
        """
        who = f"agent {request.agent or '(none)'}, ticket {request.ticket or '(none)'}"
        who += f", session {request.session or '(none)'}"
        with self._lock:
            self._requests.append(request)
            index = self._take_for(request)
            if index is None:
                raise LookupError(f"The script has no take left for {who}: reply 1 is missing.")
            number, replies = self._played[index], self._takes[index].replies
            if number == len(replies):
                raise LookupError(f"The take for {who} has {number} replies: reply {number + 1} is missing.")
            self._played[index] += 1
            return replies[number], f"{index + 1:02d}_{number + 1:02d}"

    def pause(self, seconds: float) -> None:
        """Wait as the script says, but never past the end of the server."""
        if seconds > 0:
            self._closing.wait(seconds)

    def _take_for(self, request: Request) -> int | None:
        key = (request.agent, request.ticket, request.session)
        if key not in self._take_of:
            taken = set(self._take_of.values())
            free = (
                index
                for index, take in enumerate(self._takes)
                if index not in taken and (take.agent, take.ticket) == (request.agent, request.ticket)
            )
            index = next(free, None)
            if index is None:
                return None
            self._take_of[key] = index
        return self._take_of[key]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Conversation)

    def opened(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End the connections that clients still hold open, so that no thread outlives the script."""
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client hung up first

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gives up, or is killed, in the middle of an answer is part of what is tested.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Conversation(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this the second waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are in `ScriptedModel.requests`."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/":
            self._send_json(200, {"type": "scripted_model", "message": "POST /v1/messages"})
        else:
            self._send_error(404, f"There is nothing at {self.path}; ask POST /v1/messages.")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        if self.path.partition("?")[0] != "/v1/messages":
            self._send_error(404, f"There is nothing at {self.path}; ask POST /v1/messages.")
            return
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._send_error(400, f"The request body is not valid JSON: {error}")
            return
        wrong = what_is_wrong_with(asked)
        if wrong is not None:
            self._send_error(400, wrong)
            return
        self._play(asked)

    def do_PUT(self) -> None:
        self.close_connection = True  # the body is left unread
        self._send_error(404, f"There is nothing to {self.command} at {self.path}; ask POST /v1/messages.")

    do_DELETE = do_PATCH = do_OPTIONS = do_PUT

    def _play(self, asked: dict[str, Any]) -> None:
        try:
            reply, name = self.server.model.answer(self._request(asked))
        except LookupError as error:
            self._send_error(400, str(error.args[0]))
            return
        self.server.model.pause(reply.delay_seconds)
        if isinstance(reply, Failed):
            self._fail(reply)
        elif asked.get("stream") is True:
            events = "".join(_sse(event) for event in streamed(message(reply, asked["model"], name)))
            self._send(200, events.encode(), {"content-type": "text/event-stream", "cache-control": "no-cache"})
        else:
            self._send_json(200, message(reply, asked["model"], name))

    def _fail(self, reply: Failed) -> None:
        if reply.body is None:
            self._send_error(reply.status, "The script says so.", reply.headers)
        elif isinstance(reply.body, str):
            self._send(reply.status, reply.body.encode(), {"content-type": "text/html; charset=utf-8", **_low(reply)})
        else:
            self._send_json(reply.status, reply.body, _low(reply))

    def _request(self, asked: dict[str, Any]) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        shown = {name: "(hidden)" if name in _CREDENTIALS else value for name, value in headers.items()}
        agent, ticket, session = (shown.get(f"x-watchbill-{part}", "") for part in ("agent", "ticket", "session"))
        return Request(headers=shown, body=asked, agent=agent, ticket=ticket, session=session)

    def _read_body(self) -> bytes | None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send_error(411, "The request must say its content-length.")
            return None
        if int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._send_error(413, f"The request is larger than {MAX_REQUEST_BYTES} bytes.")
            return None
        return self.rfile.read(int(length))

    def _send_error(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        body = {"type": "error", "error": {"type": kind, "message": reason}, "request_id": "req_scripted"}
        self._send_json(status, body, {name.lower(): value for name, value in (headers or {}).items()})

    def _send_json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"request-id": "req_scripted", **headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def message(reply: Said, model: str, name: str) -> dict[str, Any]:
    """The reply as a message of the API. `name` makes its ids: the same script gives the same ids."""
    content = [
        {"type": "text", "text": block.text, "citations": None}
        if isinstance(block, Text)
        else {"type": "tool_use", "id": f"toolu_{name}_{position}", "name": block.name, "input": block.input}
        for position, block in enumerate(reply.content, start=1)
    ]
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "container": None,
        "content": content,
        "context_management": None,
        "stop_details": None,
        "stop_reason": reply.why_it_stopped,
        "stop_sequence": None,
        "usage": _usage(reply.usage or Usage()),
    }


def streamed(whole: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The events that tell the message `whole`, in order, as a streaming server sends them."""
    opening_usage = {**whole["usage"], "output_tokens": 0}
    opening = {**whole, "content": [], "stop_reason": None, "usage": opening_usage}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {name: whole[name] for name in ("container", "stop_details", "stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": ending, "context_management": None, "usage": whole["usage"]}
    yield {"type": "message_stop"}


def what_is_wrong_with(asked: object) -> str | None:
    """Why the real API would refuse the request body `asked`, as one sentence; None when it would not.

    Checks only what an engine gets wrong: the required keys, the turns, and tool results that do not answer the calls.
    """
    if not isinstance(asked, dict):
        return "The request body must be an object."
    if not isinstance(asked.get("model"), str) or not asked["model"]:
        return "model: Field required"
    if not isinstance(asked.get("max_tokens"), int) or asked["max_tokens"] < 1:
        return "max_tokens: a number above 0 is required"
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    return _unknown_choice(asked) or _broken_turns(messages)


def _unknown_choice(asked: Mapping[str, Any]) -> str | None:
    choice = asked.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "tool":
        return None
    names = {tool.get("name") for tool in asked.get("tools") or () if isinstance(tool, dict)}
    return None if choice.get("name") in names else f"tool_choice: Tool '{choice.get('name')}' not found in tools"


def _broken_turns(messages: list[Any]) -> str | None:
    open_calls: set[str] = set()
    for number, turn in enumerate(messages):
        if not isinstance(turn, dict) or turn.get("role") not in ("user", "assistant", "system"):
            return f"messages.{number}: a message has a role, user, assistant or system"
        if not isinstance(turn.get("content"), (str, list)):
            return f"messages.{number}: a message has content, a text or a list of blocks"
        answered = set(_ids(turn, "tool_result", "tool_use_id"))
        if open_calls - answered:
            return (
                f"messages.{number}: `tool_use` ids without `tool_result` right after: {_listed(open_calls - answered)}"
            )
        if answered - open_calls:
            return (
                f"messages.{number}: `tool_result` without its `tool_use` before it: {_listed(answered - open_calls)}"
            )
        open_calls = set(_ids(turn, "tool_use", "id")) if turn["role"] == "assistant" else set()
    if open_calls:
        return f"messages: `tool_use` ids without `tool_result` right after: {_listed(open_calls)}"
    return None


def _ids(turn: Mapping[str, Any], kind: str, key: str) -> list[str]:
    blocks = turn["content"] if isinstance(turn["content"], list) else []
    return [str(block.get(key)) for block in blocks if isinstance(block, dict) and block.get("type") == kind]


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids))


def _usage(usage: Usage) -> dict[str, Any]:
    created = {"ephemeral_5m_input_tokens": usage.cache_creation_input_tokens, "ephemeral_1h_input_tokens": 0}
    return {**usage.model_dump(), "cache_creation": created, "server_tool_use": None, "service_tier": "standard"}


def _low(reply: Failed) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers.items()}


def _sse(event: Mapping[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
