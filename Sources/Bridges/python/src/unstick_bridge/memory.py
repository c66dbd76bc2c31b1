"""What the bridge needs from a framework's session memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Protocol, Tuple

from .protocol import tag_of


@dataclass(frozen=True)
class SessionCopy:
    """A session as it was at one moment.

    `state` is what travels; `native` is the adapter's own lossless form, which never leaves the process. They
    differ when `bad` names attributes that the codec cannot carry: such a session is reported, not exported.
    """

    state: bytes
    codec: str
    ttl: int
    native: bytes
    bad: Tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        return tag_of(self.state)

    @property
    def digest(self) -> bytes:
        """Equal for equal sessions; covers what the codec cannot carry as well."""
        digest = hashlib.sha256(self.state)
        if self.bad:
            digest.update(b"\n" + "\n".join(self.bad).encode("utf-8", "replace") + b"\n" + self.native)
        return digest.digest()


class SessionMemory(Protocol):
    """A framework's sessions in this process. Ids are what clients present.

    Methods are called from several threads, for one id by one thread at a time; the framework itself may read and
    write meanwhile. No method may call back into the bridge.
    """

    framework: str
    codec: str

    def ids(self) -> Iterable[str]:
        """Every session that has not expired, in any order."""

    def count(self) -> int: ...

    def export(self, session_id: str) -> Optional[SessionCopy]:
        """None when there is no such session or it has expired. Never moves the expiry."""

    def import_state(self, session_id: str, state: bytes, codec: str, ttl: int) -> None:
        """Replaces the session. The state's signature has been verified; raises ContractError if it is unusable."""

    def store(self, session_id: str, copy: SessionCopy) -> None:
        """Replaces the session with a copy that this process made."""

    def touch(self, session_id: str, ttl: int) -> None: ...

    def evict(self, session_id: str) -> None:
        """Forgets the session; not an error when there is none."""

    def freeze(self, attributes: Dict[Any, Any], ttl: int) -> SessionCopy:
        """What `export` would say if these attributes were saved now."""

    def thaw(self, copy: SessionCopy) -> Dict[Any, Any]:
        """A fresh dictionary at each call."""

    def native_key(self, session_id: str) -> Optional[str]:
        """The framework's own key in an external store, when it is not the id that clients present."""

    def warning(self) -> Optional[str]:
        """What an operator should know before relying on this memory, or None."""
