"""The endpoints under `/.well-known/unstick/v1/`, free of any web framework."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from typing import Callable, List, Optional, Tuple
from urllib.parse import parse_qs, quote, unquote

from ._version import __version__
from .bridge import Bridge
from .protocol import (
    CONTRACT_VERSION,
    ERROR_HEADER,
    SESSION_HEADER,
    STATE_BYTES_MAX,
    ContractError,
    Phase,
    decode_base64url,
    encode_base64url,
    endpoint_auth_is_recent,
    endpoint_auth_is_valid,
    format_fields,
    is_session_id,
    parse_fields,
    parse_hydration,
    parse_phase,
)

PREFIX = "/.well-known/unstick/v1/"
PAGE_DEFAULT = 1000
PAGE_MAX = 10_000


@dataclass(frozen=True)
class EndpointRequest:
    method: str
    #: Path and query as they stand in the request line.
    target: str
    auth: Optional[str]
    session: Optional[str]
    content_length: Optional[int]
    #: Reads at most so many bytes of the body.
    read: Callable[[int], bytes]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: List[Tuple[str, str]] = field(default_factory=list)


def is_endpoint(path: str) -> bool:
    return path.startswith(PREFIX)


def raw_target(reported: Optional[str], path: str, query: str) -> str:
    """Path and query as signed. Servers that do not report the request line get its canonical form rebuilt."""
    if reported:
        if not reported.startswith("/"):
            _, _, rest = reported.partition("://")
            reported = "/" + rest.partition("/")[2]
        return reported
    target = quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=-._~")
    return f"{target}?{query}" if query else target


def answer(bridge: Bridge, request: EndpointRequest) -> Reply:
    """401 before anything else is looked at; a stranger cannot even make us read a body, or get an Unstick header."""
    try:
        body = _authenticated_body(bridge, request)
    except ContractError as error:
        return Reply(error.status, f"unstick bridge: {error}\n".encode())
    try:
        return _dispatch(bridge, request, body)
    except ContractError as error:
        text = f"unstick bridge: {error}\n".encode("utf-8", "replace")
        return Reply(error.status, text, headers=[(ERROR_HEADER, error.code)])


def _authenticated_body(bridge: Bridge, request: EndpointRequest) -> bytes:
    now = bridge.clock()
    if not endpoint_auth_is_recent(request.auth, now):
        raise ContractError(401, "auth", "Unstick-Auth is missing, malformed, or too old")
    body = _read_body(request)
    if not endpoint_auth_is_valid(request.auth, bridge.secret, now, request.method, request.target, body):
        raise ContractError(401, "auth", "the signature in Unstick-Auth is wrong")
    return body


def _dispatch(bridge: Bridge, request: EndpointRequest, body: bytes) -> Reply:
    path, _, query = request.target.partition("?")
    parameters = {name: values[-1] for name, values in parse_qs(query).items()}
    resource = path[len(PREFIX) :] if path.startswith(PREFIX) else ""
    name, _, raw_id = resource.partition("/")
    if resource == "instance" and request.method == "GET":
        return _instance(bridge)
    if resource == "sessions" and request.method == "GET":
        return _listing(bridge, parameters.get("cursor"), parameters.get("limit"))
    if name == "sessions" and raw_id and "/" not in raw_id:
        session_id = unquote(raw_id, errors="replace")
        if not is_session_id(session_id):
            raise ContractError(404, "id", "no session can have this id")
        if request.method == "GET":
            return _export(bridge, session_id, parameters.get("ver"))
        if request.method == "PUT":
            return _hydrate(bridge, session_id, request.session, body)
        if request.method == "DELETE":
            return _evict(bridge, session_id)
    if resource in ("instance", "sessions") or (name == "sessions" and raw_id and "/" not in raw_id):
        raise ContractError(405, "method", f"{request.method} is not for {name}")
    raise ContractError(404, "endpoint", "contract version 1 has no such endpoint")


def _read_body(request: EndpointRequest) -> bytes:
    too_long = ContractError(413, "too-long", f"a session's state may have {STATE_BYTES_MAX} bytes at most")
    if request.content_length is not None and request.content_length > STATE_BYTES_MAX:
        raise too_long
    if request.content_length == 0:
        return b""
    remaining = request.content_length if request.content_length is not None else STATE_BYTES_MAX + 1
    parts = []
    while remaining > 0:
        part = request.read(min(remaining, 1 << 20))
        if not part:
            break
        parts.append(part)
        remaining -= len(part)
    body = b"".join(parts)
    if len(body) > STATE_BYTES_MAX:
        raise too_long
    return body


def _instance(bridge: Bridge) -> Reply:
    description = {
        "inst": bridge.incarnation,
        "framework": bridge.memory.framework,
        "bridge": f"unstick-bridge/{__version__}",
        "contract": int(CONTRACT_VERSION),
        "codec": bridge.memory.codec,
        "sessions": bridge.memory.count(),
        "warning": bridge.memory.warning(),
    }
    return Reply(200, json.dumps(description).encode() + b"\n", "application/json")


def _listing(bridge: Bridge, cursor: Optional[str], limit_text: Optional[str]) -> Reply:
    """A page of sessions in the order of their ids.

    The cursor is the last id looked at, so sessions that come and go during a crawl cannot shift the pages: one that
    lives throughout is always after the cursor until it has been listed.
    """
    if limit_text is not None and not limit_text.isdecimal():
        raise ContractError(400, "limit", f"limit is {limit_text!r}, not a number from 1 to {PAGE_MAX}")
    limit = min(max(int(limit_text), 1), PAGE_MAX) if limit_text is not None else PAGE_DEFAULT
    after = decode_base64url(cursor).decode("utf-8", "replace") if cursor else ""
    # One more than asked for tells whether there is another page.
    ids = heapq.nsmallest(limit + 1, (session_id for session_id in bridge.memory.ids() if session_id > after))
    lines = []
    for session_id in ids[:limit]:
        with bridge.ledger.lock(session_id):
            found = bridge.ledger.look(session_id)
        if found is None:
            continue
        entry, copy = found
        report = bridge.ledger.report(entry, copy)
        line = {
            "id": session_id,
            "ver": report.version_tag.version,
            "tag": report.version_tag.tag,
            "ttl": report.ttl,
            "size": len(report.state),
            "accessed": entry.accessed,
        }
        if report.bad:
            line["bad"] = len(report.bad)
            line["attributes"] = list(report.bad)
        lines.append(line)
    if len(ids) > limit:
        lines.append({"cursor": encode_base64url(ids[limit - 1].encode())})
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return Reply(200, text.encode(), "application/x-ndjson")


def _export(bridge: Bridge, session_id: str, version_text: Optional[str]) -> Reply:
    version = None
    if version_text is not None:
        if not version_text.isdecimal() or len(version_text) > 18:
            raise ContractError(400, "version", f"ver is {version_text!r}, not a version number")
        version = int(version_text)
    report = bridge.ledger.recent.get(session_id, version) if version is not None else None
    if report is None:
        with bridge.ledger.lock(session_id):
            found = bridge.ledger.look(session_id)
            if found is not None and version in (None, found[0].version_tag.version):
                entry, copy = found
                recent = bridge.ledger.recent.get(session_id, entry.version_tag.version)
                base = recent.base if recent is not None and recent.version_tag == entry.version_tag else None
                report = bridge.ledger.report(entry, copy, base)
                if not report.bad:
                    entry.announce()
    if report is None:
        return _no_session(bridge, session_id)
    headers = [(SESSION_HEADER, bridge.report_fields(session_id, report))]
    if report.bad:
        names = ", ".join(report.bad)
        text = f"unstick bridge: these attributes cannot be exported as {report.codec}: {names}\n"
        return Reply(422, text.encode("utf-8", "replace"), headers=headers)
    return Reply(200, report.state, "application/octet-stream", headers)


def _hydrate(bridge: Bridge, session_id: str, header: Optional[str], state: bytes) -> Reply:
    if header is None:
        raise ContractError(400, "malformed", f"PUT needs {SESSION_HEADER}: put=…; codec=…; ttl=…; sig=…")
    fields = parse_fields(header)
    put = parse_hydration(fields)
    phase = parse_phase(fields["phase"]) if "phase" in fields else Phase.MIRRORING
    put.verify(bridge.secret, session_id, state)
    with bridge.ledger.lock(session_id):
        found = bridge.ledger.look(session_id, trusted=not phase.needs_exact_copy)
        if bridge.replaces(found[0] if found is not None else None, put.version_tag, phase):
            bridge.ledger.hydrate(session_id, put.version_tag, state, put.codec, put.ttl)
            found = bridge.ledger.look(session_id)
        if found is None:
            return _no_session(bridge, session_id)
        report = bridge.ledger.report(*found)
    return Reply(200, headers=[(SESSION_HEADER, bridge.report_fields(session_id, report))])


def _evict(bridge: Bridge, session_id: str) -> Reply:
    with bridge.ledger.lock(session_id):
        bridge.ledger.evict(session_id)
    fields = format_fields((("op", "none"), ("inst", bridge.incarnation)))
    return Reply(200, headers=[(SESSION_HEADER, fields)])


def _no_session(bridge: Bridge, session_id: str) -> Reply:
    fields = format_fields((("op", "missing"), ("id", session_id), ("inst", bridge.incarnation)))
    return Reply(404, b"unstick bridge: no such session\n", headers=[(SESSION_HEADER, fields)])
