"""Where each of Django's server-side session engines keeps its sessions."""

from __future__ import annotations

import math
import os
import pickle
import time
from datetime import timedelta
from importlib import import_module
from typing import Any, Dict, Iterable, List, Optional

import django
from django.conf import settings
from django.contrib.sessions.backends import cache as cache_engine
from django.contrib.sessions.backends import cached_db as cached_db_engine
from django.contrib.sessions.backends import db as db_engine
from django.contrib.sessions.backends import file as file_engine
from django.contrib.sessions.backends import signed_cookies as signed_cookies_engine
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.serializers import JSONSerializer
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from .. import codec
from ..memory import SessionCopy

#: Below so many entries a cache is likely to drop live sessions.
CACHE_ENTRIES_COMFORTABLE = 100_000


def session_store_class() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def memory_for_settings() -> "DjangoMemory":
    """The adapter for SESSION_ENGINE, or ImproperlyConfigured saying why there is none."""
    store = session_store_class()
    if issubclass(store, signed_cookies_engine.SessionStore):
        raise ImproperlyConfigured(
            "Unstick has nothing to do for signed_cookies: the client holds the whole session, so any instance with "
            "the same SECRET_KEY can serve it. Remove UnstickMiddleware."
        )
    if issubclass(store, cached_db_engine.SessionStore):
        return CachedDatabaseMemory(store)
    if issubclass(store, db_engine.SessionStore):
        return DatabaseMemory(store)
    if issubclass(store, file_engine.SessionStore):
        return FileMemory(store)
    if issubclass(store, cache_engine.SessionStore):
        return LocMemMemory(store)
    raise ImproperlyConfigured(
        f"Unstick knows the session engines cache, cached_db, db and file and classes derived from them, not "
        f"{settings.SESSION_ENGINE!r}."
    )


def _configured_codec() -> str:
    chosen = getattr(settings, "UNSTICK_CODEC", None)
    if chosen is None:
        serializer = import_string(settings.SESSION_SERIALIZER)
        return codec.JSON if issubclass(serializer, JSONSerializer) else codec.PICKLE
    if chosen not in (codec.JSON, codec.PICKLE):
        raise ImproperlyConfigured(f"UNSTICK_CODEC is {chosen!r}; it can be 'json' or 'pickle'")
    return str(chosen)


class DjangoMemory:
    """What the engines have in common. `native` of a copy is the pickled session dictionary."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.codec = _configured_codec()
        self.framework = f"django/{django.get_version()} {settings.SESSION_ENGINE}"

    def ids(self) -> Iterable[str]:
        raise NotImplementedError

    def count(self) -> int:
        return sum(1 for _ in self.ids())

    def export(self, session_id: str) -> Optional[SessionCopy]:
        raise NotImplementedError

    def import_state(self, session_id: str, state: bytes, codec_name: str, ttl: int) -> None:
        attributes = codec.decode(state, codec_name, self.codec)
        self._write(session_id, attributes, ttl)

    def store(self, session_id: str, copy: SessionCopy) -> None:
        self._write(session_id, self.thaw(copy), copy.ttl)

    def touch(self, session_id: str, ttl: int) -> None:
        raise NotImplementedError

    def evict(self, session_id: str) -> None:
        self._store().delete(session_id)

    def freeze(self, attributes: Dict[Any, Any], ttl: int) -> SessionCopy:
        return self._copy(pickle.dumps(attributes, pickle.HIGHEST_PROTOCOL), ttl, attributes)

    def thaw(self, copy: SessionCopy) -> Dict[Any, Any]:
        attributes: Dict[Any, Any] = pickle.loads(copy.native)
        return attributes

    def native_key(self, session_id: str) -> Optional[str]:
        return None

    def warning(self) -> Optional[str]:
        return None

    def _write(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        raise NotImplementedError

    def _copy(self, native: bytes, ttl: int, attributes: Optional[Dict[Any, Any]] = None) -> SessionCopy:
        if self.codec == codec.PICKLE:
            return SessionCopy(native, codec.PICKLE, ttl, native)
        # The pickle comes from this process's own memory, never from the wire.
        state, bad = codec.encode_json(attributes if attributes is not None else pickle.loads(native))
        return SessionCopy(state, codec.JSON, ttl, native, bad)


class LocMemMemory(DjangoMemory):
    """The `cache` engine on LocMemCache: pickles in a dictionary of this process."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        cache = self._cache()
        if not isinstance(cache, LocMemCache):
            raise ImproperlyConfigured(
                f"The cache {settings.SESSION_CACHE_ALIAS!r} is a {type(cache).__name__}, so sessions are not in this "
                "process's memory. Unstick works with LocMemCache; a shared cache needs no Unstick."
            )
        self._prefix = cache.make_key(store.cache_key_prefix)
        if cache.make_key(store.cache_key_prefix + "id") != self._prefix + "id":
            raise ImproperlyConfigured("KEY_FUNCTION of the session cache must end its keys with the session key")

    @staticmethod
    def _cache() -> Any:
        # Django gives each thread its own object; they share the dictionary.
        return caches[settings.SESSION_CACHE_ALIAS]

    def ids(self) -> List[str]:
        cache, now = self._cache(), time.time()
        with cache._lock:
            expiry = list(cache._expire_info.items())
        start = len(self._prefix)
        return [
            key[start:]
            for key, expires in expiry
            if key.startswith(self._prefix) and (expires is None or expires > now)
        ]

    def export(self, session_id: str) -> Optional[SessionCopy]:
        cache, key = self._cache(), self._prefix + session_id
        with cache._lock:
            # Not cache.get(): that would count as a use and drop the entry when it has expired.
            native, expires = cache._cache.get(key), cache._expire_info.get(key, -1)
        ttl = settings.SESSION_COOKIE_AGE if expires is None else math.ceil(expires - time.time())
        if native is None or ttl <= 0:
            return None
        return self._copy(native, ttl)

    def import_state(self, session_id: str, state: bytes, codec_name: str, ttl: int) -> None:
        if codec_name == codec.PICKLE and self.codec == codec.PICKLE:
            self._write_native(session_id, state, ttl)
        else:
            super().import_state(session_id, state, codec_name, ttl)

    def store(self, session_id: str, copy: SessionCopy) -> None:
        self._write_native(session_id, copy.native, copy.ttl)

    def touch(self, session_id: str, ttl: int) -> None:
        cache = self._cache()
        with cache._lock:
            if self._prefix + session_id in cache._cache:
                cache._expire_info[self._prefix + session_id] = time.time() + ttl

    def evict(self, session_id: str) -> None:
        cache = self._cache()
        with cache._lock:
            cache._delete(self._prefix + session_id)

    def _write(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        self._write_native(session_id, pickle.dumps(attributes, pickle.HIGHEST_PROTOCOL), ttl)

    def _write_native(self, session_id: str, native: bytes, ttl: int) -> None:
        cache = self._cache()
        with cache._lock:
            cache._set(self._prefix + session_id, native, ttl)

    def warning(self) -> Optional[str]:
        cache = self._cache()
        used, entries_max = len(cache._cache), cache._max_entries
        if entries_max >= CACHE_ENTRIES_COMFORTABLE and used < 0.8 * entries_max:
            return None
        return (
            f"the session cache {settings.SESSION_CACHE_ALIAS!r} holds {used} of MAX_ENTRIES={entries_max} entries; "
            "when it is full, Django drops live sessions. Set OPTIONS MAX_ENTRIES higher, for example 1000000"
        )


class DatabaseMemory(DjangoMemory):
    """The `db` engine, for instances that have a database each."""

    @property
    def _rows(self) -> Any:
        return self._store.get_model_class().objects

    def ids(self) -> Iterable[str]:
        rows = self._rows.filter(expire_date__gt=timezone.now())
        return [str(key) for key in rows.values_list("session_key", flat=True)]

    def export(self, session_id: str) -> Optional[SessionCopy]:
        row = self._rows.filter(session_key=session_id, expire_date__gt=timezone.now()).first()
        if row is None:
            return None
        ttl = math.ceil((row.expire_date - timezone.now()).total_seconds())
        return self.freeze(self._store().decode(row.session_data), max(ttl, 1))

    def touch(self, session_id: str, ttl: int) -> None:
        self._rows.filter(session_key=session_id).update(expire_date=timezone.now() + timedelta(seconds=ttl))

    def _write(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        row = {
            "session_data": self._store().encode(attributes),
            "expire_date": timezone.now() + timedelta(seconds=ttl),
        }
        self._rows.update_or_create(session_key=session_id, defaults=row)


class CachedDatabaseMemory(DatabaseMemory):
    """The `cached_db` engine. The database is written through, so it decides; the cache must follow."""

    def touch(self, session_id: str, ttl: int) -> None:
        super().touch(session_id, ttl)
        self._cache().touch(self._store.cache_key_prefix + session_id, ttl)

    def _write(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        super()._write(session_id, attributes, ttl)
        self._cache().set(self._store.cache_key_prefix + session_id, attributes, ttl)

    @staticmethod
    def _cache() -> Any:
        return caches[settings.SESSION_CACHE_ALIAS]


class FileMemory(DjangoMemory):
    """The `file` engine, for instances that have a directory each. A file's age is its modification time."""

    def _path(self, session_id: str) -> Optional[str]:
        if not session_id or not set(session_id).issubset(VALID_KEY_CHARS):
            return None
        return os.path.join(self._store._get_storage_path(), settings.SESSION_COOKIE_NAME + session_id)

    def ids(self) -> Iterable[str]:
        prefix = settings.SESSION_COOKIE_NAME
        names = os.listdir(self._store._get_storage_path())
        candidates = [name[len(prefix) :] for name in names if name.startswith(prefix)]
        # Temporary files of saves under way have an underscore in their names.
        return [name for name in candidates if self._path(name) is not None and self.export(name) is not None]

    def export(self, session_id: str) -> Optional[SessionCopy]:
        path = self._path(session_id)
        if path is None:
            return None
        try:
            with open(path, encoding="ascii") as file:
                text = file.read()
            modified = os.stat(path).st_mtime
        except OSError:
            return None
        store = self._store(session_id)
        attributes = store.decode(text) if text else {}
        expiry = attributes.get("_session_expiry")
        if isinstance(expiry, str):
            ttl = store.get_expiry_age(expiry=expiry)
        else:
            age_max = expiry or store.get_session_cookie_age()
            ttl = math.ceil(modified + age_max - time.time())
        return self.freeze(attributes, ttl) if ttl > 0 else None

    def touch(self, session_id: str, ttl: int) -> None:
        copy, path = self.export(session_id), self._path(session_id)
        if copy is not None and path is not None:
            self._date(path, self.thaw(copy), ttl)

    def _write(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        path = self._path(session_id)
        if path is None:
            return
        text = self._store(session_id).encode(attributes)
        draft = f"{path}_unstick"
        with open(draft, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
        self._date(draft, attributes, ttl)
        os.replace(draft, path)

    def _date(self, path: str, attributes: Dict[Any, Any], ttl: int) -> None:
        expiry = attributes.get("_session_expiry")
        age_max = expiry if isinstance(expiry, int) and expiry else settings.SESSION_COOKIE_AGE
        modified = time.time() + ttl - age_max
        os.utime(path, (modified, modified))
