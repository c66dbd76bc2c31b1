"""The proxy's side of the contract, and a session memory without a framework."""

import json
import pickle
import time
from urllib.parse import quote

from unstick_bridge.bridge import Bridge, Refusal, RequestSession
from unstick_bridge.codec import decode, encode_json
from unstick_bridge.endpoints import EndpointRequest, answer
from unstick_bridge.memory import SessionCopy
from unstick_bridge.protocol import (
    decode_base64url,
    encode_base64url,
    endpoint_signature,
    parse_fields,
    proxy_mac,
    state_signature,
    tag_of,
)

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000.0
V1 = "/.well-known/unstick/v1/"


class FakeMemory:
    """Sessions as canonical JSON in a dictionary."""

    framework = "fake"
    codec = "json"

    def __init__(self):
        self.sessions = {}
        self.ttl = 1800

    def ids(self):
        return list(self.sessions)

    def count(self):
        return len(self.sessions)

    def export(self, session_id):
        attributes = self.sessions.get(session_id)
        return None if attributes is None else self.freeze(attributes, self.ttl)

    def import_state(self, session_id, state, codec, ttl):
        self.sessions[session_id] = decode(state, codec, self.codec)

    def store(self, session_id, copy):
        self.sessions[session_id] = self.thaw(copy)

    def touch(self, session_id, ttl):
        self.touched = (session_id, ttl)

    def evict(self, session_id):
        self.sessions.pop(session_id, None)

    def freeze(self, attributes, ttl):
        state, bad = encode_json(attributes)
        return SessionCopy(state, "json", ttl, pickle.dumps(attributes), bad)

    def thaw(self, copy):
        return pickle.loads(copy.native)

    def native_key(self, session_id):
        return None

    def warning(self):
        return None


def state_of(attributes):
    return encode_json(attributes)[0]


def version_tag(version, attributes_or_state):
    state = attributes_or_state if isinstance(attributes_or_state, bytes) else state_of(attributes_or_state)
    return f"{version}-{tag_of(state)}"


class Proxy:
    """Writes and reads headers as the proxy does."""

    def __init__(self, secret=SECRET, now=lambda: NOW):
        self.secret = secret
        self.now = now

    def auth(self):
        timestamp = str(int(self.now()))
        return f"{timestamp}.{proxy_mac(self.secret, timestamp)}"

    def head(self, phase, *fields):
        return "; ".join(("v=1", f"auth={self.auth()}", f"phase={phase}", "gen=7", *fields))

    def put_fields(self, session_id, tag, state, codec="json", ttl=1800):
        signature = state_signature(self.secret, session_id, tag, codec, str(ttl), state)
        return f"put={tag}; codec={codec}; ttl={ttl}; sig={signature}"

    def put(self, phase, session_id, version, state, codec="json", ttl=1800):
        """Header and state header that hydrate."""
        fields = self.put_fields(session_id, version_tag(version, state), state, codec, ttl)
        return self.head(phase, fields), encode_base64url(state)

    def endpoint_auth(self, method, target, body=b""):
        timestamp = str(int(self.now()))
        return f"ts={timestamp}; sig={endpoint_signature(self.secret, method, target, timestamp, body)}"


class Instance:
    """A bridge over a FakeMemory, and requests to it."""

    def __init__(self, clock=lambda: NOW, memory=None):
        self.memory = memory if memory is not None else FakeMemory()
        self.bridge = Bridge(self.memory, SECRET, clock=clock, incarnation="inst-1")
        self.proxy = Proxy()

    def begin(self, phase, session_id, *fields):
        return self.bridge.begin(self.proxy.head(phase, *fields), None, session_id)

    def begin_put(self, phase, session_id, version, attributes):
        state = attributes if isinstance(attributes, bytes) else state_of(attributes)
        return self.bridge.begin(*self.proxy.put(phase, session_id, version, state), session_id)

    def save(self, request, session_id, attributes):
        """What a framework does, in either mode."""
        if request.owns(session_id):
            request.save(session_id, attributes, 1800)
        else:
            self.memory.sessions[session_id] = attributes
            request.noted_save(session_id)

    def load(self, request, session_id):
        return request.load(session_id) if request.owns(session_id) else self.memory.sessions.get(session_id)

    def delete(self, request, session_id):
        if request.owns(session_id):
            request.delete(session_id)
        else:
            self.memory.sessions.pop(session_id, None)
            request.noted_delete(session_id)

    def finish(self, request):
        return fields_of(self.bridge.finish(request, request.end_id))

    def visit(self, phase, session_id, *fields, change=None):
        """A whole request; `change` are attributes to save."""
        request = self.begin(phase, session_id, *fields)
        assert isinstance(request, RequestSession), request
        if change is not None:
            self.save(request, session_id, change)
        return self.finish(request)

    def call(self, method, resource, body=b"", session=None, auth=None, length=None):
        target = V1 + resource
        chunks = [body]
        return answer(
            self.bridge,
            EndpointRequest(
                method,
                target,
                self.proxy.endpoint_auth(method, target, body) if auth is None else auth,
                session,
                len(body) if length is None else length,
                lambda limit: chunks.pop() if chunks else b"",
            ),
        )

    def listing(self, limit=None, cursor=None):
        parameters = "&".join(f"{k}={quote(str(v))}" for k, v in (("limit", limit), ("cursor", cursor)) if v)
        reply = self.call("GET", "sessions" + ("?" + parameters if parameters else ""))
        assert reply.status == 200
        return lines_of(reply.body)


def lines_of(body):
    """Session lines and the cursor of the next page, if any."""
    lines = [json.loads(line) for line in body.decode().splitlines()]
    cursor = lines.pop()["cursor"] if lines and "cursor" in lines[-1] else None
    return lines, cursor


def fields_of(headers):
    """The fields of Unstick-Session, and the decoded state as `state` when it is there."""
    headers = {name.lower(): value for name, value in (headers.items() if hasattr(headers, "items") else headers)}
    text = headers.get("unstick-session")
    if text is None:
        return None
    fields = dict(parse_fields(text))
    if "unstick-state" in headers:
        fields["state"] = decode_base64url(headers["unstick-state"])
    return fields


def answer_of(refusal):
    """(status, op) of a refusal; op is None where there is no Unstick-Session header."""
    assert isinstance(refusal, Refusal), refusal
    fields = fields_of(refusal.headers)
    return refusal.status, fields["op"] if fields else None


def real_now():
    return time.time()
