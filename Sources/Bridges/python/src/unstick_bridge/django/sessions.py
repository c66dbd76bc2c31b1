"""Sends the session store's loads and saves through the request that they belong to.

Django gives no hook between SessionMiddleware and the engine, and middleware above SessionMiddleware is built after it
has picked its class. So the class itself is extended in place, once; a store made outside a bridged request behaves
as before.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any, Optional

from django.contrib.sessions.backends.base import CreateError, UpdateError

from ..bridge import RequestSession

#: The request that is being served. A store keeps the one it was made in, also when a streamed body uses it later.
current_request: "ContextVar[Optional[RequestSession]]" = ContextVar("unstick_request", default=None)


def extend(store_class: Any) -> None:
    """Idempotent."""
    if "_unstick_extended" in store_class.__dict__:
        return
    store_class._unstick_extended = True
    _extend_init(store_class)
    _extend_sync(store_class)
    if hasattr(store_class, "aload"):
        _extend_async(store_class)


def _request_of(store: Any) -> Optional[RequestSession]:
    request: Optional[RequestSession] = store.__dict__.get("_unstick_request")
    return request


def _owner(store: Any, session_key: Optional[str]) -> Optional[RequestSession]:
    """The request whose own copy a load or save must use, or None for the framework's memory."""
    request = _request_of(store)
    return request if request is not None and request.owns(session_key) else None


def _extend_init(cls: Any) -> None:
    original = cls.__init__

    @functools.wraps(original)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._unstick_request = current_request.get()

    cls.__init__ = init


def _load(store: Any, request: RequestSession) -> Any:
    attributes = request.load(store.session_key)
    if attributes is None:
        # As every engine does for an unknown id: the next save makes a new one.
        store._session_key = None
        return {}
    return attributes


def _check(store: Any, request: RequestSession, must_create: bool) -> None:
    exists = request.exists(store.session_key)
    if must_create and exists:
        raise CreateError
    if not must_create and not exists:
        raise UpdateError


def _extend_sync(cls: Any) -> None:
    original_load, original_save, original_delete = cls.load, cls.save, cls.delete

    @functools.wraps(original_load)
    def load(self: Any) -> Any:
        request = _owner(self, self.session_key)
        return _load(self, request) if request is not None else original_load(self)

    @functools.wraps(original_save)
    def save(self: Any, must_create: bool = False) -> Any:
        request = _owner(self, self.session_key)
        if request is None:
            result = original_save(self, must_create=must_create)
            _note_save(self)
            return result
        _check(self, request, must_create)
        attributes = self._get_session(no_load=must_create)
        return request.save(self.session_key, attributes, self.get_expiry_age())

    @functools.wraps(original_delete)
    def delete(self: Any, session_key: Optional[str] = None) -> Any:
        key = session_key if session_key is not None else self.session_key
        request = _owner(self, key)
        if request is not None and key is not None:
            return request.delete(key)
        result = original_delete(self, session_key)
        _note_delete(self, key)
        return result

    cls.load, cls.save, cls.delete = load, save, delete


def _extend_async(cls: Any) -> None:
    original_load, original_save, original_delete = cls.aload, cls.asave, cls.adelete

    @functools.wraps(original_load)
    async def aload(self: Any) -> Any:
        request = _owner(self, self.session_key)
        return _load(self, request) if request is not None else await original_load(self)

    @functools.wraps(original_save)
    async def asave(self: Any, must_create: bool = False) -> Any:
        request = _owner(self, self.session_key)
        if request is None:
            result = await original_save(self, must_create=must_create)
            _note_save(self)
            return result
        _check(self, request, must_create)
        attributes = await self._aget_session(no_load=must_create)
        return request.save(self.session_key, attributes, await self.aget_expiry_age())

    @functools.wraps(original_delete)
    async def adelete(self: Any, session_key: Optional[str] = None) -> Any:
        key = session_key if session_key is not None else self.session_key
        request = _owner(self, key)
        if request is not None and key is not None:
            return request.delete(key)
        result = await original_delete(self, session_key)
        _note_delete(self, key)
        return result

    cls.aload, cls.asave, cls.adelete = aload, asave, adelete


def _note_save(store: Any) -> None:
    request = _request_of(store)
    if request is not None:
        request.noted_save(store.session_key)


def _note_delete(store: Any, session_key: Optional[str]) -> None:
    request = _request_of(store)
    if request is not None:
        request.noted_delete(session_key)
