"""The wire format of bridge contract version 1: header fields, signatures, version tags. No I/O, no clock.

Everything here is a pure function of its arguments; the time comes in as Unix seconds.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Dict, Iterable, Optional, Tuple, Union

CONTRACT_VERSION = "1"
SESSION_HEADER = "Unstick-Session"
STATE_HEADER = "Unstick-State"
AUTH_HEADER = "Unstick-Auth"
ERROR_HEADER = "Unstick-Error"

#: How far the proxy's clock and ours may differ, in seconds.
CLOCK_SKEW_MAX = 60
#: The longest state, in bytes, that travels in a header.
STATE_HEADER_BYTES_MAX = 4096
#: The longest state, in bytes, that `PUT sessions/ID` takes.
STATE_BYTES_MAX = 16 * 1024 * 1024


class ContractError(Exception):
    """An authenticated peer broke the contract. `status` is what to answer, `code` what `Unstick-Error` says."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Phase(enum.Enum):
    STICKY = "sticky"
    MIRRORING = "mirroring"
    EXTERNALIZED = "externalized"
    STATELESS = "stateless"
    COMPLETED = "completed"

    @property
    def needs_exact_copy(self) -> bool:
        """Whether memory must match the store's version *and* tag."""
        return self in (Phase.STATELESS, Phase.COMPLETED)

    @property
    def store_is_authority(self) -> bool:
        return self in (Phase.EXTERNALIZED, Phase.STATELESS, Phase.COMPLETED)


_VERSION_TAG = re.compile(r"([0-9]{1,18})-([0-9a-f]{8})")
# Visible ASCII without `;`: what fits in a cookie and cannot end a header field or line.
_SESSION_ID = re.compile(r"[\x21-\x3a\x3c-\x7e]{1,512}")


@dataclass(frozen=True)
class VersionTag:
    version: int
    tag: str

    @classmethod
    def parse(cls, text: str) -> "VersionTag":
        match = _VERSION_TAG.fullmatch(text)
        if match is None:
            raise ContractError(400, "malformed", f"{text!r} is not a version tag such as 12-9f86d081")
        return cls(int(match.group(1)), match.group(2))

    def __str__(self) -> str:
        return f"{self.version}-{self.tag}"


@dataclass(frozen=True)
class Hydration:
    """What `put=` announces: a state that the store holds. Trust it only after `verify`."""

    version_tag: VersionTag
    codec: str
    ttl: int
    signed_text: Tuple[str, str, str]
    signature: str

    def verify(self, secret: bytes, session_id: str, state: bytes) -> None:
        """Raises 401 unless the proxy signed exactly this state for exactly this id."""
        version_tag, codec, ttl = self.signed_text
        expected = state_signature(secret, session_id, version_tag, codec, ttl, state)
        if not equal(expected, self.signature):
            raise ContractError(401, "signature", "the state's signature is wrong")
        if tag_of(state) != self.version_tag.tag:
            raise ContractError(400, "tag", "the state's tag is not the first 8 hex digits of its SHA-256")


@dataclass(frozen=True)
class RequestHead:
    """An authenticated `Unstick-Session` request header. At most one of want, put and absent is set."""

    phase: Phase
    generation: Optional[int] = None
    want: Optional[VersionTag] = None
    put: Optional[Hydration] = None
    absent: bool = False


def parse_fields(text: str) -> Dict[str, Optional[str]]:
    """`a=1; b; c=x=y` as a dictionary; a bare word maps to None. A repeated field raises."""
    fields: Dict[str, Optional[str]] = {}
    for part in text.split(";"):
        part = part.strip(" \t")
        if not part:
            continue
        name, separator, value = part.partition("=")
        if name in fields:
            raise ContractError(400, "malformed", f"the field {name!r} is there twice")
        fields[name] = value if separator else None
    return fields


def format_fields(fields: Iterable[Tuple[str, Union[str, int, VersionTag, None]]]) -> str:
    """Fields whose value is None are left out."""
    return "; ".join(f"{name}={value}" for name, value in fields if value is not None)


def parse_request_head(text: Optional[str], secret: bytes, now: float) -> Optional[RequestHead]:
    """None when the header is not there or its `auth` is not valid: then the bridge is inert.

    Raises ContractError when an authenticated proxy sends what version 1 does not know.
    """
    if text is None:
        return None
    try:
        fields = parse_fields(text)
    except ContractError:
        return None
    if not proxy_auth_is_valid(fields.get("auth"), secret, now):
        return None
    if fields.get("v") != CONTRACT_VERSION:
        raise ContractError(400, "version", f"this bridge speaks contract version 1, not {fields.get('v')!r}")
    generation = fields.get("gen")
    want = fields.get("want")
    put = parse_hydration(fields) if "put" in fields else None
    absent = "absent" in fields
    if sum((want is not None, put is not None, absent)) > 1:
        raise ContractError(400, "malformed", "only one of want, put and absent can come with a request")
    return RequestHead(
        phase=parse_phase(fields.get("phase")),
        generation=int(generation) if generation is not None and _is_number(generation) else None,
        want=VersionTag.parse(want) if want is not None else None,
        put=put,
        absent=absent,
    )


def parse_phase(text: Optional[str]) -> Phase:
    try:
        return Phase(text)
    except ValueError:
        known = ", ".join(phase.value for phase in Phase)
        raise ContractError(400, "phase", f"the phase is {text!r}, not one of {known}") from None


def parse_hydration(fields: Dict[str, Optional[str]]) -> Hydration:
    values = [fields.get(name) for name in ("put", "codec", "ttl", "sig")]
    if any(value is None for value in values):
        raise ContractError(400, "malformed", "put= needs codec=, ttl= and sig= with it")
    version_tag, codec, ttl, signature = (str(value) for value in values)
    if not _is_number(ttl) or int(ttl) == 0:
        raise ContractError(400, "malformed", f"ttl is {ttl!r}, not a positive number of seconds")
    return Hydration(VersionTag.parse(version_tag), codec, int(ttl), (version_tag, codec, ttl), signature)


# Signatures


def proxy_auth_is_valid(auth: Optional[str], secret: bytes, now: float) -> bool:
    """`TS.MAC` from the `auth` field."""
    if auth is None:
        return False
    timestamp, _, mac = auth.partition(".")
    return _is_recent(timestamp, now) and equal(proxy_mac(secret, timestamp), mac)


def endpoint_auth_is_recent(header: Optional[str], now: float) -> bool:
    """The part of the check that needs no body, so that a stranger cannot make us read one."""
    return _endpoint_fields(header, now) is not None


def endpoint_auth_is_valid(
    header: Optional[str], secret: bytes, now: float, method: str, target: str, body: bytes
) -> bool:
    """`Unstick-Auth: ts=TS; sig=SIG` for this method, this raw path with its query, and this body."""
    fields = _endpoint_fields(header, now)
    if fields is None:
        return False
    timestamp, signature = fields
    return equal(endpoint_signature(secret, method, target, timestamp, body), signature)


def _endpoint_fields(header: Optional[str], now: float) -> Optional[Tuple[str, str]]:
    if header is None:
        return None
    try:
        fields = parse_fields(header)
    except ContractError:
        return None
    timestamp, signature = fields.get("ts"), fields.get("sig")
    if timestamp is None or signature is None or not _is_recent(timestamp, now):
        return None
    return timestamp, signature


def proxy_mac(secret: bytes, timestamp: str) -> str:
    return _mac(secret, b"unstick-proxy\n" + timestamp.encode())


def state_signature(secret: bytes, session_id: str, version_tag: str, codec: str, ttl: str, state: bytes) -> str:
    head = "\n".join((session_id, version_tag, codec, ttl)).encode()
    return _mac(secret, head + b"\n" + state)


def endpoint_signature(secret: bytes, method: str, target: str, timestamp: str, body: bytes) -> str:
    text = "\n".join((method, target, timestamp, hashlib.sha256(body).hexdigest()))
    return _mac(secret, text.encode("utf-8", "surrogateescape"))


def _mac(secret: bytes, message: bytes) -> str:
    return encode_base64url(hmac.new(secret, message, hashlib.sha256).digest())


def equal(expected: str, given: str) -> bool:
    """Constant-time; `given` may carry base64 padding."""
    return hmac.compare_digest(expected.encode(), given.rstrip("=").encode("utf-8", "surrogateescape"))


def _is_recent(timestamp: str, now: float) -> bool:
    return _is_number(timestamp) and abs(int(now) - int(timestamp)) <= CLOCK_SKEW_MAX


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,15}", text) is not None


# Small encodings


def tag_of(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:8]


def is_session_id(text: str) -> bool:
    return _SESSION_ID.fullmatch(text) is not None


def encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """With or without padding; anything outside the alphabet raises."""
    bare = text.rstrip("=")
    if re.fullmatch(r"[A-Za-z0-9_-]*", bare) is None:
        raise ContractError(400, "malformed", "not base64url")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError) as error:
        raise ContractError(400, "malformed", f"not base64url: {error}") from None


def cookie_values(header: str, name: str) -> list:
    """Raw values of every cookie of that name, in order: split on `;` only, no unquoting."""
    values = []
    for part in header.split(";"):
        key, separator, value = part.strip(" \t").partition("=")
        if separator and key == name:
            values.append(value)
    return values
