"""What to do with a session id that a client presents, and what to tell the proxy afterwards.

The path of a request: `begin` reads the request header, compares memory with what the proxy wants, and either
refuses or returns a `RequestSession`; the framework adapter runs the application, sending session loads and saves
through the RequestSession; `finish` turns what happened into the response header. No lock is held in between.

Two ways to run the application:

* *shared* (sticky, mirroring): memory is the authority, so the framework works on it as always, and `finish` looks
  at what memory holds then. Two parallel requests that both saved are told apart by the look, in the order in which
  memory changed.
* *own copy* (externalized, stateless, completed): the store is the authority and may replace memory at any moment,
  so loads come from the copy taken at `begin`, saves stay in the RequestSession until `finish`, and a save never
  lands on top of a copy that it did not start from.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, Union

from .ledger import Entry, Ledger, Report
from .memory import SessionCopy, SessionMemory
from .protocol import (
    ERROR_HEADER,
    SESSION_HEADER,
    STATE_HEADER,
    STATE_HEADER_BYTES_MAX,
    ContractError,
    Phase,
    RequestHead,
    VersionTag,
    decode_base64url,
    encode_base64url,
    format_fields,
    is_session_id,
    parse_request_head,
)

Headers = List[Tuple[str, str]]


@dataclass(frozen=True)
class Refusal:
    """An answer given before the application runs."""

    status: int
    headers: Headers
    text: str


class RequestSession:
    """One request's view of the session it came with. Used by one request, possibly from several threads in turn."""

    def __init__(self, memory: SessionMemory, head: RequestHead, session_id: Optional[str]) -> None:
        self._memory = memory
        self.phase = head.phase
        self.id = session_id
        self.base: Optional[VersionTag] = None
        self.entry: Optional[Entry] = None
        self.start: Optional[SessionCopy] = None
        self.start_version: Optional[VersionTag] = None
        self.must_report = False
        self.own_copy = head.phase.store_is_authority
        #: Set when nobody will look at this request any more; saves then go to memory as if the bridge were not there.
        self.closed = False
        #: The response head is out and said `op=late`.
        self.late = False
        self.saved: Dict[str, SessionCopy] = {}
        self.deleted: Set[str] = set()
        self._last_saved: Optional[str] = None

    @property
    def end_id(self) -> Optional[str]:
        """The session this request ends with, for frameworks that do not tell: saved last, or the one it came with."""
        if self._last_saved is not None:
            return self._last_saved
        return self.id if self.id not in self.deleted else None

    # Called by framework adapters in own-copy mode.

    def owns(self, session_id: Optional[str]) -> bool:
        """Whether loads and saves of this id belong to this request: its own session, or one that it creates."""
        if not self.own_copy or self.closed or session_id is None:
            return False
        if session_id == self.id or session_id in self.saved or session_id in self.deleted:
            return True
        return self._memory.export(session_id) is None

    def load(self, session_id: str) -> Optional[Dict[Any, Any]]:
        if session_id in self.saved:
            return self._memory.thaw(self.saved[session_id])
        if session_id == self.id and session_id not in self.deleted and self.start is not None:
            return self._memory.thaw(self.start)
        return None

    def exists(self, session_id: str) -> bool:
        if session_id in self.saved:
            return True
        return session_id == self.id and session_id not in self.deleted and self.start is not None

    def save(self, session_id: str, attributes: Dict[Any, Any], ttl: int) -> None:
        """Freezes the attributes as they are now: what the application changes later without saving is not saved."""
        self.saved[session_id] = self._memory.freeze(attributes, ttl)
        self.noted_save(session_id)

    def delete(self, session_id: str) -> None:
        self.saved.pop(session_id, None)
        self.noted_delete(session_id)

    # Called by framework adapters in shared mode, after the framework has done it.

    def noted_save(self, session_id: Optional[str]) -> None:
        if session_id is not None:
            self.deleted.discard(session_id)
            self._last_saved = session_id

    def noted_delete(self, session_id: Optional[str]) -> None:
        if session_id is not None:
            self.deleted.add(session_id)
            if self._last_saved == session_id:
                self._last_saved = None


class Bridge:
    """The bridge of one process. Thread-safe."""

    def __init__(
        self,
        memory: SessionMemory,
        secret: bytes,
        clock: Callable[[], float] = time.time,
        incarnation: Optional[str] = None,
    ) -> None:
        self.memory = memory
        self.secret = secret
        self.clock = clock
        self.incarnation = incarnation or secrets.token_hex(8)
        self.ledger = Ledger(memory)

    # Before the application

    def begin(
        self, header: Optional[str], state_header: Optional[str], session_id: Optional[str]
    ) -> Union[None, Refusal, RequestSession]:
        """None: no valid `auth`, or nothing to do in this phase; the bridge stays out of this request."""
        try:
            head = parse_request_head(header, self.secret, self.clock())
            if head is None or head.phase is Phase.STICKY:
                return None
            if session_id is not None and not is_session_id(session_id):
                # No framework issues such an id, so it starts a fresh session.
                session_id = None
            request = RequestSession(self.memory, head, session_id)
            if session_id is None:
                return request
            with self.ledger.lock(session_id):
                return self._prepare(request, head, session_id, state_header)
        except ContractError as error:
            return self.refusal(error)

    def refusal(self, error: ContractError) -> Refusal:
        return Refusal(error.status, [(ERROR_HEADER, error.code)], f"unstick bridge: {error}\n")

    def _prepare(
        self, request: RequestSession, head: RequestHead, session_id: str, state_header: Optional[str]
    ) -> Union[Refusal, RequestSession]:
        found = self.ledger.look(session_id, trusted=not head.phase.needs_exact_copy)
        if head.absent:
            if head.phase.store_is_authority:
                self.ledger.evict(session_id)
                found = None
            return self._serve(request, found)
        if head.put is not None:
            if state_header is None:
                raise ContractError(400, "malformed", f"put= came without {STATE_HEADER}")
            state = decode_base64url(state_header)
            head.put.verify(self.secret, session_id, state)
            entry = found[0] if found is not None else None
            if self.replaces(entry, head.put.version_tag, head.phase):
                put = head.put
                self.ledger.hydrate(session_id, put.version_tag, state, put.codec, put.ttl)
                found = self.ledger.look(session_id)
            return self._serve(request, found)
        if found is None:
            return self._missing(session_id)
        if not self.satisfies(found[0], head.want, head.phase):
            return self._stale(session_id, found[0])
        if head.want == found[0].version_tag:
            found[0].confirm()
        return self._serve(request, found)

    @staticmethod
    def replaces(entry: Optional[Entry], put: VersionTag, phase: Phase) -> bool:
        """Whether the store's copy takes the place of memory's."""
        if entry is None:
            return True
        if entry.version_tag == put:
            return False
        if phase.needs_exact_copy or not entry.confirmed:
            return True
        if phase.store_is_authority and entry.contradicts(put):
            return True
        return entry.version_tag.version < put.version

    @staticmethod
    def satisfies(entry: Entry, want: Optional[VersionTag], phase: Phase) -> bool:
        if not phase.store_is_authority:
            return True
        if phase.needs_exact_copy:
            return entry.version_tag == want
        if want is None or entry.version_tag == want:
            return True
        # A newer copy serves only if it descends from what the store has. Otherwise it holds a change that was never
        # acknowledged, and lacks one that was (made elsewhere under the same number).
        return entry.confirmed and entry.version_tag.version >= want.version and not entry.contradicts(want)

    def _serve(self, request: RequestSession, found: "Optional[Tuple[Entry, SessionCopy]]") -> RequestSession:
        if found is not None:
            entry, copy = found
            entry.accessed = int(self.clock())
            if not request.own_copy:
                entry.confirmed = True
            request.entry, request.start = entry, copy
            request.start_version = entry.version_tag
            request.must_report = entry.unannounced
            # A change that nobody has reported yet is reported by this request, so it counts from the version
            # before it.
            request.base = entry.announced if entry.unannounced and entry.announced else entry.version_tag
        return request

    def _missing(self, session_id: str) -> Refusal:
        fields = format_fields((("op", "missing"), ("id", session_id), ("inst", self.incarnation)))
        return Refusal(409, [(SESSION_HEADER, fields)], "unstick bridge: no such session in this instance\n")

    def _stale(self, session_id: str, entry: Entry) -> Refusal:
        fields = format_fields(
            (("op", "stale"), ("id", session_id), ("have", entry.version_tag), ("inst", self.incarnation))
        )
        return Refusal(409, [(SESSION_HEADER, fields)], "unstick bridge: this instance has another version\n")

    # After the application

    def finish(self, request: RequestSession, end_id: Optional[str]) -> Headers:
        """Headers for a response whose session work is done. `end_id` is the session the framework ended with."""
        request.closed = True
        return self._own_copy_headers(request, end_id) if request.own_copy else self._shared_headers(request, end_id)

    def finish_late(self, request: RequestSession, end_id: Optional[str]) -> Headers:
        """Headers for a response whose body may still change the session; `settle` follows when the body ends.

        A session that ends or changes its id does so in the head: nothing that the body does can take it back.
        """
        exists = self._exists(request, end_id)
        if end_id is None or not exists or (end_id != request.id and request.id in request.deleted):
            return self.finish(request, end_id)
        request.late = True
        return [(SESSION_HEADER, format_fields((("op", "late"), ("id", end_id), ("inst", self.incarnation))))]

    def settle(self, request: RequestSession, end_id: Optional[str]) -> None:
        """The body of a late response is complete: memory must hold what it saved before the proxy asks."""
        if request.late and not request.closed:
            self.finish(request, end_id)

    def _exists(self, request: RequestSession, session_id: Optional[str]) -> bool:
        if session_id is None:
            return False
        if request.own_copy:
            return request.exists(session_id)
        return self.memory.export(session_id) is not None

    def _shared_headers(self, request: RequestSession, end_id: Optional[str]) -> Headers:
        ended = self._ended(request)
        if ended:
            self._destroyed(request)
        if end_id is not None and is_session_id(end_id):
            with self.ledger.lock(end_id):
                found = self.ledger.look(end_id)
                if found is not None:
                    return self._report_headers(request, end_id, *found, ended=ended and end_id != request.id)
        return self._destroy_headers(request) if ended else self._none_headers()

    def _own_copy_headers(self, request: RequestSession, end_id: Optional[str]) -> Headers:
        ended = self._ended(request)
        for session_id in list(request.deleted):
            with self.ledger.lock(session_id):
                self.ledger.evict(session_id)
        if ended:
            self._destroyed(request)
        if end_id is None or not request.exists(end_id):
            return self._destroy_headers(request) if ended else self._none_headers()
        with self.ledger.lock(end_id):
            copy = request.saved.get(end_id)
            if end_id == request.id and request.start is not None:
                return self._continued_headers(request, end_id, copy)
            assert copy is not None
            self.memory.store(end_id, copy)
            entry = self.ledger.record(end_id, copy, trusted=not request.phase.needs_exact_copy)
            return self._report_headers(request, end_id, entry, copy, ended=ended)

    def _continued_headers(self, request: RequestSession, session_id: str, copy: Optional[SessionCopy]) -> Headers:
        """The request ends with the session it came with, in own-copy mode."""
        start, version = request.start, request.start_version
        assert start is not None and version is not None
        entry = self.ledger.current(session_id)
        exact = request.phase.needs_exact_copy
        if copy is None or copy.digest == start.digest:
            if copy is not None and entry is not None:
                self.memory.touch(session_id, copy.ttl)
            if not exact:
                # Memory may have changed behind the framework's back.
                found = self.ledger.look(session_id)
                if found is not None and found[0] is request.entry and (found[0].unannounced or request.must_report):
                    return self._report_headers(request, session_id, *found, ended=False)
            ttl = copy.ttl if copy is not None else start.ttl
            return self._touch_headers(session_id, version, ttl, start.bad)
        # Whoever hydrated, evicted or destroyed the session meanwhile knows better than this request's copy. In the
        # exact phases a wrong copy in memory would be noticed, so only a session that is gone must stay gone.
        if entry is not None and (exact or entry is request.entry):
            self.memory.store(session_id, copy)
            entry = self.ledger.record(session_id, copy, trusted=not exact)
            version = entry.version_tag
            entry.announce()
        else:
            version = VersionTag(self.ledger.reserve(session_id), copy.tag)
        report = Report(version, copy.state, copy.codec, copy.ttl, copy.bad, request.base)
        return self._put_headers(session_id, report)

    @staticmethod
    def _ended(request: RequestSession) -> bool:
        """Whether this request itself ended the session it came with. An eviction is no logout."""
        return request.id is not None and request.base is not None and request.id in request.deleted

    def _destroyed(self, request: RequestSession) -> None:
        assert request.id is not None
        with self.ledger.lock(request.id):
            self.ledger.destroy(request.id)

    def _report_headers(
        self, request: RequestSession, session_id: str, entry: Entry, copy: SessionCopy, ended: bool
    ) -> Headers:
        if session_id == request.id and request.start is not None and not request.must_report:
            if entry is request.entry and entry.version_tag == request.start_version:
                return self._touch_headers(session_id, entry.version_tag, copy.ttl, copy.bad)
        continues = session_id == request.id or ended
        report = self.ledger.report(entry, copy, request.base if continues else None)
        entry.announce()
        return self._put_headers(session_id, report, old=request.id if ended else None)

    def _put_headers(self, session_id: str, report: Report, old: Optional[str] = None) -> Headers:
        self.ledger.recent.add(session_id, report)
        headers = [(SESSION_HEADER, self.report_fields(session_id, report, old))]
        if not report.bad and len(report.state) <= STATE_HEADER_BYTES_MAX:
            headers.append((STATE_HEADER, encode_base64url(report.state)))
        return headers

    def report_fields(self, session_id: str, report: Report, old: Optional[str] = None) -> str:
        return format_fields(
            (
                ("op", "put" if old is None else "rotate"),
                ("id", session_id),
                ("old", old),
                ("ver", report.version_tag.version),
                ("tag", report.version_tag.tag),
                ("base", report.base),
                ("ttl", report.ttl),
                ("codec", report.codec),
                ("native", self.memory.native_key(session_id)),
                ("bad", len(report.bad) or None),
                ("inst", self.incarnation),
            )
        )

    def _touch_headers(self, session_id: str, version_tag: VersionTag, ttl: int, bad: Tuple[str, ...]) -> Headers:
        fields = (
            ("op", "touch"),
            ("id", session_id),
            ("ver", version_tag.version),
            ("tag", version_tag.tag),
            ("ttl", ttl),
            ("bad", len(bad) or None),
            ("inst", self.incarnation),
        )
        return [(SESSION_HEADER, format_fields(fields))]

    def _destroy_headers(self, request: RequestSession) -> Headers:
        assert request.id is not None and request.start is not None
        with self.ledger.lock(request.id):
            version = self.ledger.reserve(request.id)
        fields = (
            ("op", "destroy"),
            ("id", request.id),
            ("ver", version),
            ("ttl", request.start.ttl),
            ("inst", self.incarnation),
        )
        return [(SESSION_HEADER, format_fields(fields))]

    def _none_headers(self) -> Headers:
        return [(SESSION_HEADER, format_fields((("op", "none"), ("inst", self.incarnation))))]
