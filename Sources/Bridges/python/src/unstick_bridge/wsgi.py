"""WSGI middleware: the contract around any WSGI application whose session layer knows `current_request`."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from http import HTTPStatus
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from .bridge import Bridge, Headers, Refusal, RequestSession
from .endpoints import EndpointRequest, answer, is_endpoint, raw_target
from .protocol import cookie_values
from .streaming import settled

Environ = Dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], Any]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: The request that is being served, for the session layer to load from and save to.
current_request: "ContextVar[Optional[RequestSession]]" = ContextVar("unstick_wsgi_request", default=None)


class UnstickMiddleware:
    """Wraps the application from outside, above its session layer.

    `commits_late` is for session layers that save after the response head is out, for example when the body is
    closed: the head then says so, and the body does not end before the session is in memory.
    """

    def __init__(self, app: Application, bridge: Bridge, cookie_name: str, commits_late: bool = False) -> None:
        self._app = app
        self._bridge = bridge
        self._cookie_name = cookie_name
        self._commits_late = commits_late

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if is_endpoint(environ.get("PATH_INFO", "")):
            return self._endpoint(environ, start_response)
        begun = self._begin(environ)
        if begun is None:
            return self._app(environ, start_response)
        if isinstance(begun, Refusal):
            text = begun.text.encode("utf-8", "replace")
            return _respond(start_response, begun.status, "text/plain; charset=utf-8", begun.headers, text)
        return self._serve(begun, environ, start_response)

    def _begin(self, environ: Environ) -> Any:
        header = environ.get("HTTP_UNSTICK_SESSION")
        if header is None:
            return None
        cookies = cookie_values(environ.get("HTTP_COOKIE", ""), self._cookie_name)
        # The first of several, as Werkzeug picks.
        session_id = cookies[0] if cookies and cookies[0] else None
        return self._bridge.begin(header, environ.get("HTTP_UNSTICK_STATE"), session_id)

    def _serve(self, begun: RequestSession, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # A context of its own, because a generator application runs when the server iterates.
        context = copy_context()
        context.run(current_request.set, begun)
        head = _HeldHead(start_response, lambda: self._headers(begun))
        try:
            body = context.run(self._app, environ, head.start_response)
            iterator = _iterate(context, body)
            first: List[bytes] = []
            if not head.started:
                first = [chunk for chunk in (next(iterator, None),) if chunk is not None]
            head.release()
        except BaseException:
            begun.closed = True
            raise
        if begun.late:
            return _Body(first, iterator, body, lambda: self._bridge.settle(begun, begun.end_id), head.has_length)
        return _Body(first, iterator, body) if first else body

    def _headers(self, begun: RequestSession) -> Headers:
        if self._commits_late:
            return self._bridge.finish_late(begun, begun.end_id)
        return self._bridge.finish(begun, begun.end_id)

    def _endpoint(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        reported = environ.get("REQUEST_URI") or environ.get("RAW_URI")
        length = environ.get("CONTENT_LENGTH") or ""
        chunked = "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated", False)
        reply = answer(
            self._bridge,
            EndpointRequest(
                method=environ["REQUEST_METHOD"],
                target=raw_target(reported, environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")),
                auth=environ.get("HTTP_UNSTICK_AUTH"),
                session=environ.get("HTTP_UNSTICK_SESSION"),
                content_length=int(length) if length.isdecimal() else None if chunked else 0,
                read=environ["wsgi.input"].read,
            ),
        )
        return _respond(start_response, reply.status, reply.content_type, reply.headers, reply.body)


class _HeldHead:
    """Keeps the response head back until the bridge's headers are known."""

    def __init__(self, start_response: StartResponse, headers: Callable[[], Headers]) -> None:
        self._start_response = start_response
        self._headers = headers
        self._arguments: Optional[Tuple[str, Headers, Any]] = None
        self._write: Optional[Callable[[bytes], Any]] = None

    @property
    def started(self) -> bool:
        return self._arguments is not None

    @property
    def has_length(self) -> bool:
        return self._arguments is not None and any(name.lower() == "content-length" for name, _ in self._arguments[1])

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], Any]:
        if self._write is not None:
            # The head is out already; the server knows what to do about that.
            return self._start_response(status, headers, exc_info)
        self._arguments = (status, headers, exc_info)
        return self._write_early

    def _write_early(self, data: bytes) -> Any:
        self.release()
        assert self._write is not None
        return self._write(data)

    def release(self) -> None:
        if self._write is None and self._arguments is not None:
            status, headers, exc_info = self._arguments
            full = list(headers) + self._headers()
            self._write = (
                self._start_response(status, full, exc_info) if exc_info else self._start_response(status, full)
            )


class _Body:
    """What is left of the body, closed once; with `settle` it does not end before the session has settled."""

    def __init__(
        self,
        first: List[bytes],
        rest: Iterator[bytes],
        source: Any,
        settle: Optional[Callable[[], None]] = None,
        has_length: bool = False,
    ) -> None:
        self._source: Any = source
        self._settle = settle
        content = _chain(first, rest)
        self._content = settled(content, self.close, has_length) if settle is not None else content

    def __iter__(self) -> Iterator[bytes]:
        return self._content

    def close(self) -> None:
        source, self._source = self._source, None
        try:
            if hasattr(source, "close"):
                source.close()
        finally:
            settle, self._settle = self._settle, None
            if settle is not None:
                settle()


def _chain(first: List[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    yield from rest


def _iterate(context: Any, body: Iterable[bytes]) -> Iterator[bytes]:
    iterator = context.run(iter, body)
    end = object()
    while True:
        chunk = context.run(next, iterator, end)
        if chunk is end:
            return
        yield chunk


def _respond(
    start_response: StartResponse, status: int, content_type: str, headers: Headers, body: bytes
) -> Iterable[bytes]:
    common = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", common + headers)
    return [body]
