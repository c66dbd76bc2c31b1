"""The middleware: contract in front, SessionMiddleware and the application behind it."""

from __future__ import annotations

import os
from typing import Any, AsyncIterator, Callable, Optional

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse

from ..bridge import Bridge, Headers, Refusal, RequestSession
from ..endpoints import EndpointRequest, answer, is_endpoint, raw_target
from ..protocol import cookie_values
from ..secret import SecretError, read_secret
from ..streaming import settled
from .memory import memory_for_settings
from .sessions import current_request, extend


def bridge_from_settings() -> Bridge:
    path = getattr(settings, "UNSTICK_SECRET_FILE", None) or os.environ.get("UNSTICK_SECRET_FILE")
    if not path:
        raise ImproperlyConfigured(
            "UnstickMiddleware needs the file with the bridge secret: the setting UNSTICK_SECRET_FILE or the "
            "environment variable of that name"
        )
    try:
        secret = read_secret(path)
    except SecretError as error:
        raise ImproperlyConfigured(str(error)) from error
    return Bridge(memory_for_settings(), secret)


class UnstickMiddleware:
    """First in MIDDLEWARE. Serves sync and async Django."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.bridge = bridge_from_settings()
        extend(self.bridge.memory._store)  # type: ignore[attr-defined]
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._acall(request)
        if is_endpoint(request.path_info):
            return self._endpoint(request)
        begun = self._begin(request)
        if not isinstance(begun, RequestSession):
            return _refuse(begun) if begun is not None else self.get_response(request)
        token = current_request.set(begun)
        try:
            response = self.get_response(request)
        finally:
            current_request.reset(token)
        return self._finish(begun, request, response)

    async def _acall(self, request: HttpRequest) -> Any:
        # Session engines may use the database, which Django allows in threads only.
        if is_endpoint(request.path_info):
            return await sync_to_async(self._endpoint)(request)
        begun = await sync_to_async(self._begin)(request)
        if not isinstance(begun, RequestSession):
            return _refuse(begun) if begun is not None else await self.get_response(request)
        token = current_request.set(begun)
        try:
            response = await self.get_response(request)
        finally:
            current_request.reset(token)
        return await sync_to_async(self._finish)(begun, request, response)

    def _begin(self, request: HttpRequest) -> Any:
        header = request.META.get("HTTP_UNSTICK_SESSION")
        if header is None:
            return None
        cookies = cookie_values(request.META.get("HTTP_COOKIE", ""), settings.SESSION_COOKIE_NAME)
        # The last of several, as Django's own cookie parser picks.
        session_id = cookies[-1] if cookies and cookies[-1] else None
        return self.bridge.begin(header, request.META.get("HTTP_UNSTICK_STATE"), session_id)

    def _finish(self, begun: RequestSession, request: HttpRequest, response: Any) -> Any:
        if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
            headers = self.bridge.finish_late(begun, _end_id(begun, request))
            if begun.late:
                response.streaming_content = self._settled_after(begun, request, response)
        else:
            headers = self.bridge.finish(begun, _end_id(begun, request))
        return _add(headers, response)

    def _settled_after(self, begun: RequestSession, request: HttpRequest, response: Any) -> Any:
        """The body, which must not end before memory holds what it saved."""
        content = response.streaming_content
        has_length = response.has_header("Content-Length")

        def settle() -> None:
            self.bridge.settle(begun, _end_id(begun, request))

        if response.is_async:
            return _settled_async(content, settle, has_length)
        return settled(content, settle, has_length)

    def _endpoint(self, request: HttpRequest) -> HttpResponse:
        scope = getattr(request, "scope", None)
        if scope is not None and scope.get("raw_path"):
            query = scope.get("query_string", b"").decode("latin-1")
            target = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
        else:
            reported = request.META.get("REQUEST_URI") or request.META.get("RAW_URI")
            path = request.path_info.encode("utf-8", "surrogateescape").decode("latin-1")
            target = raw_target(reported, path, request.META.get("QUERY_STRING", ""))
        length = request.META.get("CONTENT_LENGTH") or ""
        chunked = "HTTP_TRANSFER_ENCODING" in request.META or scope is not None
        reply = answer(
            self.bridge,
            EndpointRequest(
                method=request.method or "",
                target=target,
                auth=request.META.get("HTTP_UNSTICK_AUTH"),
                session=request.META.get("HTTP_UNSTICK_SESSION"),
                content_length=int(length) if length.isdecimal() else None if chunked else 0,
                read=request.read,
            ),
        )
        return _plain(reply.body, reply.status, reply.content_type, reply.headers)


async def _settled_async(
    content: AsyncIterator[bytes], settle: Callable[[], None], has_length: bool
) -> AsyncIterator[bytes]:
    """`streaming.settled` for asynchronous bodies."""
    held: Optional[bytes] = None
    try:
        async for chunk in content:
            if not has_length:
                yield chunk
                continue
            if held is not None:
                yield held
            held = chunk
    finally:
        await sync_to_async(settle)()
    if held is not None:
        yield held


def _end_id(begun: RequestSession, request: HttpRequest) -> Optional[str]:
    session = getattr(request, "session", None)
    # Without one, a middleware answered before SessionMiddleware had its turn, and nothing happened to the session.
    return session.session_key if session is not None else begun.end_id


def _refuse(refusal: Refusal) -> HttpResponse:
    return _plain(refusal.text.encode(), refusal.status, "text/plain; charset=utf-8", refusal.headers)


def _plain(body: bytes, status: int, content_type: str, headers: Headers) -> HttpResponse:
    response = HttpResponse(body, status=status, content_type=content_type)
    # CommonMiddleware, which usually sets the length, is behind us; without one servers close the connection.
    response["Content-Length"] = str(len(body))
    return _add(headers, response)


def _add(headers: Headers, response: Any) -> Any:
    for name, value in headers:
        response[name] = value
    return response
