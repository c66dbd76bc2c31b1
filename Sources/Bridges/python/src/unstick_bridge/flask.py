"""Flask adapter: Flask-Session with cachelib's SimpleCache.

Session(app)
Unstick(app)        # after Session: it extends the session interface that Session installed
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import time
from typing import Any, ContextManager, Dict, List, Optional

from cachelib.simple import SimpleCache
from flask import Flask
from flask_session.base import ServerSideSessionInterface
from itsdangerous import BadSignature

from . import codec
from .bridge import Bridge, RequestSession
from .memory import SessionCopy
from .secret import read_secret
from .wsgi import UnstickMiddleware, current_request

#: Below so many entries the cache is likely to drop live sessions.
CACHE_ENTRIES_COMFORTABLE = 100_000
#: For sessions that SimpleCache keeps for ever: Flask's own default lifetime, in seconds.
TTL_UNLIMITED = 31 * 86400


class ConfigurationError(Exception):
    """The application is not set up so that Unstick can work with it."""


class Unstick:
    """The Flask extension. Settings: UNSTICK_SECRET_FILE (or the environment variable), UNSTICK_CODEC (json)."""

    def __init__(self, app: Optional[Flask] = None) -> None:
        self.bridge: Optional[Bridge] = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        path = app.config.get("UNSTICK_SECRET_FILE") or os.environ.get("UNSTICK_SECRET_FILE")
        if not path:
            raise ConfigurationError(
                "Unstick needs the file with the bridge secret: the setting UNSTICK_SECRET_FILE or the environment "
                "variable of that name"
            )
        interface = app.session_interface
        memory = SimpleCacheMemory(app, interface, app.config.get("UNSTICK_CODEC", codec.JSON))
        self.bridge = Bridge(memory, read_secret(path))
        extend(interface, memory)
        middleware = UnstickMiddleware(app.wsgi_app, self.bridge, app.config["SESSION_COOKIE_NAME"])
        app.wsgi_app = middleware  # type: ignore[method-assign]


class SimpleCacheMemory:
    """Flask-Session's sessions in a SimpleCache: pickles in a dictionary of this process.

    Clients present the bare session id, or with SESSION_USE_SIGNER the signed one; the latter is what the proxy
    sees, so it is the id here, and the cache's own key goes along as the native one.
    """

    framework = "flask-session"

    def __init__(self, app: Flask, interface: Any, codec_name: str) -> None:
        cache = getattr(interface, "cache", None)
        if not isinstance(interface, ServerSideSessionInterface) or not isinstance(cache, SimpleCache):
            kept = type(cache if cache is not None else interface).__name__
            raise ConfigurationError(
                f"sessions are kept by {kept}, not in this process's memory; Unstick works with "
                "SESSION_TYPE='cachelib' and a cachelib.SimpleCache, and must be installed after flask_session.Session"
            )
        if codec_name not in (codec.JSON, codec.PICKLE):
            raise ConfigurationError(f"UNSTICK_CODEC is {codec_name!r}; it can be 'json' or 'pickle'")
        self.codec = codec_name
        self._app = app
        self._interface: Any = interface
        self._cache: Any = cache

    # Ids

    def store_id(self, session_id: str) -> Optional[str]:
        if not self._interface.use_signer:
            return str(self._interface._get_store_id(session_id))
        try:
            store_id = str(self._interface._get_store_id(self._interface._unsign(self._app, session_id)))
        except (BadSignature, UnicodeDecodeError):
            return None
        # Base64 has several spellings of one signature; two ids for one session would be two sessions in the store.
        return store_id if self.session_id(store_id) == session_id else None

    def session_id(self, store_id: str) -> str:
        bare = store_id[len(self._interface.key_prefix) :]
        return str(self._interface._sign(self._app, bare)) if self._interface.use_signer else bare

    def native_key(self, session_id: str) -> Optional[str]:
        return self.store_id(session_id) if self._interface.use_signer else None

    # SessionMemory

    def ids(self) -> List[str]:
        now, prefix = time.time(), self._interface.key_prefix
        with self._lock():
            expiry = [(key, expires) for key, (expires, _) in self._cache._cache.items()]
        return [self.session_id(key) for key, expires in expiry if key.startswith(prefix) and _alive(expires, now)]

    def count(self) -> int:
        return len(self.ids())

    def export(self, session_id: str) -> Optional[SessionCopy]:
        store_id = self.store_id(session_id)
        with self._lock():
            expires, native = self._cache._cache.get(store_id, (-1, b""))
        now = time.time()
        if not _alive(expires, now):
            return None
        return self._copy(native, TTL_UNLIMITED if expires == 0 else max(math.ceil(expires - now), 1))

    def import_state(self, session_id: str, state: bytes, codec_name: str, ttl: int) -> None:
        if codec_name == codec.PICKLE and self.codec == codec.PICKLE:
            self._write(session_id, state, ttl)
        else:
            attributes = codec.decode(state, codec_name, self.codec)
            self._write(session_id, self._cache.serializer.dumps(attributes), ttl)

    def store(self, session_id: str, copy: SessionCopy) -> None:
        self._write(session_id, copy.native, copy.ttl)

    def touch(self, session_id: str, ttl: int) -> None:
        store_id = self.store_id(session_id)
        with self._lock():
            if store_id in self._cache._cache:
                self._cache._cache[store_id] = (time.time() + ttl, self._cache._cache[store_id][1])

    def evict(self, session_id: str) -> None:
        store_id = self.store_id(session_id)
        if store_id is not None:
            self._cache.delete(store_id)

    def freeze(self, attributes: Dict[Any, Any], ttl: int) -> SessionCopy:
        return self._copy(self._cache.serializer.dumps(attributes), ttl, attributes)

    def thaw(self, copy: SessionCopy) -> Dict[Any, Any]:
        attributes: Dict[Any, Any] = self._cache.serializer.loads(copy.native)
        return attributes

    def warning(self) -> Optional[str]:
        used, entries_max = len(self._cache._cache), self._cache._threshold
        if entries_max >= CACHE_ENTRIES_COMFORTABLE and used < 0.8 * entries_max:
            return None
        return (
            f"the session cache holds {used} of threshold={entries_max} entries; when it is full, SimpleCache drops "
            "live sessions. Give it a higher threshold, for example 1000000"
        )

    def _write(self, session_id: str, native: bytes, ttl: int) -> None:
        store_id = self.store_id(session_id)
        if store_id is None:
            return
        with self._lock():
            self._cache._prune()
            self._cache._cache[store_id] = (time.time() + ttl, native)

    def _copy(self, native: bytes, ttl: int, attributes: Optional[Dict[Any, Any]] = None) -> SessionCopy:
        if self.codec == codec.PICKLE:
            return SessionCopy(native, codec.PICKLE, ttl, native)
        # The pickle comes from this process's own memory, never from the wire.
        state, bad = codec.encode_json(attributes if attributes is not None else pickle.loads(native))
        return SessionCopy(state, codec.JSON, ttl, native, bad)

    def _lock(self) -> ContextManager[Any]:
        # Before 0.14 or so SimpleCache relied on the interpreter's lock alone.
        lock: ContextManager[Any] = getattr(self._cache, "_lock", None) or contextlib.nullcontext()
        return lock


def _alive(expires: float, now: float) -> bool:
    return expires == 0 or expires > now


def extend(interface: Any, memory: SimpleCacheMemory) -> None:
    """Sends the interface's loads and saves through the request that they belong to."""
    original_retrieve = interface._retrieve_session_data
    original_upsert = interface._upsert_session
    original_delete = interface._delete_session

    def retrieve(store_id: str) -> Optional[Dict[Any, Any]]:
        session_id = memory.session_id(store_id)
        request = _owner(session_id)
        return request.load(session_id) if request is not None else original_retrieve(store_id)

    def upsert(session_lifetime: Any, session: Any, store_id: str) -> None:
        session_id = memory.session_id(store_id)
        request = _owner(session_id)
        if request is not None:
            request.save(session_id, dict(session), int(session_lifetime.total_seconds()))
            return
        original_upsert(session_lifetime, session, store_id)
        shared = current_request.get()
        if shared is not None:
            shared.noted_save(session_id)

    def delete(store_id: str) -> None:
        session_id = memory.session_id(store_id)
        request = _owner(session_id)
        if request is not None:
            request.delete(session_id)
            return
        original_delete(store_id)
        shared = current_request.get()
        if shared is not None:
            shared.noted_delete(session_id)

    interface._retrieve_session_data = retrieve
    interface._upsert_session = upsert
    interface._delete_session = delete


def _owner(session_id: str) -> Optional[RequestSession]:
    request = current_request.get()
    return request if request is not None and request.owns(session_id) else None
