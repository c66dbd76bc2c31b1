"""Which version of each session this process holds, and which states it reported lately.

The framework knows nothing of versions, so the ledger compares what memory holds with what it held at the last
look: another digest is another version. Callers hold the session's lock (`Ledger.lock`) around a look and what they
decide from it, because two looks out of order would number two states in the wrong order.

An `Entry` object stands for one uninterrupted life of a session in memory. Eviction, logout and hydration end it, so
a request that kept its entry can tell by identity whether memory still continues what it started from.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from .memory import SessionCopy, SessionMemory
from .protocol import VersionTag, tag_of

#: How many ids that are no longer in memory keep their highest version number.
RETIRED_MAX = 200_000
#: Versions that a copy remembers having gone through. Only changes that were never acknowledged lie between the
#: store's version and memory's, and few of them can be under way at once.
LINEAGE_MAX = 32
RECENT_BYTES_MAX = 64 * 1024 * 1024
RECENT_COUNT_MAX = 10_000


@dataclass(eq=False)
class Entry:
    version_tag: VersionTag
    #: Digest of our own export of this version.
    digest: bytes
    #: The store's exact bytes, when they are not what we would export (merged JSON with other white space).
    foreign_state: Optional[bytes]
    #: The highest version seen for this id.
    highest: int
    #: The last version that the proxy was told, or told us.
    announced: Optional[VersionTag]
    #: Whether a change was seen that no response has reported yet.
    unannounced: bool = False
    #: False for a version that this process proposed on its own copy and that the store may have refused.
    confirmed: bool = True
    accessed: Optional[int] = None
    #: Digests by version number of what this life of the session went through lately, the present version included.
    lineage: "OrderedDict[int, str]" = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.extend_lineage()

    def extend_lineage(self) -> None:
        self.lineage[self.version_tag.version] = self.version_tag.tag
        while len(self.lineage) > LINEAGE_MAX:
            self.lineage.popitem(last=False)

    def contradicts(self, version_tag: VersionTag) -> bool:
        """Whether this copy went through another state of that number: a change of it was never acknowledged."""
        return self.lineage.get(version_tag.version, version_tag.tag) != version_tag.tag

    def announce(self) -> None:
        self.announced = self.version_tag
        self.unannounced = False

    def confirm(self) -> None:
        self.confirmed = True
        self.announce()


@dataclass(frozen=True)
class Report:
    """One version of a session as the proxy is to see it."""

    version_tag: VersionTag
    state: bytes
    codec: str
    ttl: int
    bad: Tuple[str, ...] = ()
    base: Optional[VersionTag] = None


class Ledger:
    def __init__(self, memory: SessionMemory, retired_max: int = RETIRED_MAX) -> None:
        self._memory = memory
        self._entries: Dict[str, Entry] = {}
        self._retired: "OrderedDict[str, Tuple[int, bool]]" = OrderedDict()
        self._retired_max = retired_max
        self._retired_lock = threading.Lock()
        self._sweep_at = 10_000
        # Striped: bounded in number, and re-entrant because a look may follow a change under the same lock.
        self._locks = [threading.RLock() for _ in range(64)]
        self.recent = RecentReports()

    def lock(self, session_id: str) -> "threading.RLock":
        return self._locks[hash(session_id) % len(self._locks)]

    def current(self, session_id: str) -> Optional[Entry]:
        """The entry as of the last look."""
        return self._entries.get(session_id)

    def look(self, session_id: str, trusted: bool = True) -> "Optional[Tuple[Entry, SessionCopy]]":
        """What memory holds now; a change since the last look becomes the next version.

        `trusted` says whether memory is an authority for such a change (it is not when the store demands an exact
        copy).
        """
        copy = self._memory.export(session_id)
        if copy is None:
            self.forget(session_id)
            return None
        entry = self._entries.get(session_id)
        if entry is None:
            if self._was_destroyed(session_id):
                # A save that was under way during the logout brought it back.
                self._memory.evict(session_id)
                return None
            version_tag = VersionTag(self.highest(session_id) + 1, copy.tag)
            entry = Entry(version_tag, copy.digest, None, version_tag.version, None)
            self._enter(session_id, entry)
        elif entry.digest != copy.digest:
            self._advance(entry, copy, trusted)
        return entry, copy

    def record(self, session_id: str, copy: SessionCopy, trusted: bool) -> Entry:
        """Memory has just been given this changed copy by a request of ours."""
        entry = self._entries.get(session_id)
        if entry is None:
            version = self.highest(session_id) + 1
            entry = Entry(VersionTag(version, copy.tag), copy.digest, None, version, None, True, trusted)
            self._enter(session_id, entry)
        else:
            self._advance(entry, copy, trusted)
        return entry

    def reserve(self, session_id: str) -> int:
        """The next version number, for a state that memory does not take."""
        entry = self._entries.get(session_id)
        version = self.highest(session_id) + 1
        if entry is not None:
            entry.highest = version
        else:
            self._retire(session_id, version)
        return version

    def hydrate(self, session_id: str, version_tag: VersionTag, state: bytes, codec: str, ttl: int) -> Entry:
        """Replaces memory's copy with the store's."""
        self._memory.import_state(session_id, state, codec, ttl)
        copy = self._memory.export(session_id)
        highest = max(self.highest(session_id), version_tag.version)
        digest = copy.digest if copy is not None else b""
        same = copy is not None and copy.codec == codec and copy.state == state
        entry = Entry(version_tag, digest, None if same else state, highest, version_tag)
        self._enter(session_id, entry)
        return entry

    def evict(self, session_id: str) -> None:
        self._memory.evict(session_id)
        self.forget(session_id)

    def forget(self, session_id: str) -> None:
        """Memory no longer has the session; its version numbers stay used."""
        entry = self._entries.pop(session_id, None)
        if entry is not None:
            self._retire(session_id, entry.highest)

    def destroy(self, session_id: str) -> None:
        """The application ended the session: it stays out, whatever is saved under its id afterwards."""
        highest = self.highest(session_id)
        self._memory.evict(session_id)
        self._entries.pop(session_id, None)
        self._retire(session_id, highest, destroyed=True)

    def highest(self, session_id: str) -> int:
        entry = self._entries.get(session_id)
        return entry.highest if entry is not None else self._retired.get(session_id, (0, False))[0]

    def _was_destroyed(self, session_id: str) -> bool:
        return self._retired.get(session_id, (0, False))[1]

    def report(self, entry: Entry, copy: SessionCopy, base: Optional[VersionTag] = None) -> Report:
        state = entry.foreign_state if entry.foreign_state is not None else copy.state
        return Report(entry.version_tag, state, copy.codec, copy.ttl, copy.bad, base)

    def _advance(self, entry: Entry, copy: SessionCopy, trusted: bool) -> None:
        entry.highest += 1
        entry.version_tag = VersionTag(entry.highest, copy.tag)
        entry.digest = copy.digest
        entry.foreign_state = None
        entry.unannounced = True
        entry.confirmed = entry.confirmed and trusted
        entry.extend_lineage()

    def _enter(self, session_id: str, entry: Entry) -> None:
        self._entries[session_id] = entry
        with self._retired_lock:
            self._retired.pop(session_id, None)
            due = len(self._entries) >= self._sweep_at
            if due:
                # Doubled first, so that one thread sweeps.
                self._sweep_at = 2 * len(self._entries)
        if due:
            self.sweep()

    def sweep(self) -> None:
        """Drops entries of sessions that expired in memory without anybody looking."""
        alive = set(self._memory.ids())
        for session_id in list(self._entries):
            if session_id not in alive:
                # Never waits: a busy session is not an expired one, and the caller may hold another lock.
                lock = self.lock(session_id)
                if lock.acquire(blocking=False):
                    try:
                        if self._memory.export(session_id) is None:
                            self.forget(session_id)
                    finally:
                        lock.release()
        with self._retired_lock:
            self._sweep_at = max(10_000, 2 * len(self._entries))

    def _retire(self, session_id: str, highest: int, destroyed: bool = False) -> None:
        with self._retired_lock:
            was_destroyed = self._retired.get(session_id, (0, False))[1]
            self._retired[session_id] = (highest, destroyed or was_destroyed)
            self._retired.move_to_end(session_id)
            while len(self._retired) > self._retired_max:
                self._retired.popitem(last=False)


class RecentReports:
    """The exact bytes of the states reported last, least recently used first out.

    The proxy fetches a long state after the response head named its version; memory may have moved on by then.
    """

    def __init__(self, bytes_max: int = RECENT_BYTES_MAX, count_max: int = RECENT_COUNT_MAX) -> None:
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._lock = threading.Lock()
        self._reports: "OrderedDict[Tuple[str, int], Report]" = OrderedDict()
        self._bytes = 0

    def add(self, session_id: str, report: Report) -> None:
        key = (session_id, report.version_tag.version)
        with self._lock:
            old = self._reports.pop(key, None)
            if old is not None:
                self._bytes -= len(old.state)
            self._reports[key] = report
            self._bytes += len(report.state)
            # The newest always stays, however long it is: somebody is about to fetch it.
            while len(self._reports) > 1 and (self._bytes > self._bytes_max or len(self._reports) > self._count_max):
                _, dropped = self._reports.popitem(last=False)
                self._bytes -= len(dropped.state)

    def get(self, session_id: str, version: int) -> Optional[Report]:
        key = (session_id, version)
        with self._lock:
            report = self._reports.get(key)
            if report is not None:
                self._reports.move_to_end(key)
            return report
