"""The WSGI middleware around small applications of every shape that PEP 3333 allows."""

import io
import sys

import pytest
from kit import SECRET, V1, Instance, fields_of, version_tag

from unstick_bridge.bridge import Bridge
from unstick_bridge.wsgi import UnstickMiddleware, current_request

PHASES = ["mirroring", "externalized", "stateless", "completed"]
WANT = f"want={version_tag(12, {'n': 1})}"


class Server:
    """Calls an application as a server does, and keeps what it sent."""

    def __init__(self, app, commits_late=False):
        self.instance = Instance()
        self.instance.begin_put("stateless", "id-1", 12, {"n": 1})
        self.status, self.headers, self.heads, self.body = None, None, 0, []
        self.app = UnstickMiddleware(
            lambda *arguments: app(self.instance, *arguments), self.instance.bridge, "s", commits_late
        )

    def get(self, path="/", phase=None, fields=(WANT,), cookie="s=id-1", method="GET", body=b"", **environ):
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "HTTP_COOKIE": cookie,
            **environ,
        }
        if phase is not None:
            environ["HTTP_UNSTICK_SESSION"] = self.instance.proxy.head(phase, *fields)
        self.status, self.headers, self.heads, self.body = None, None, 0, []
        content = self.app(environ, self.start_response)
        try:
            for chunk in content:
                assert self.status is not None or not chunk
                self.body.append(chunk)
        finally:
            if hasattr(content, "close"):
                content.close()
        return self

    def start_response(self, status, headers, exc_info=None):
        self.status, self.headers = status, headers
        self.heads += 1
        return self.body.append

    @property
    def fields(self):
        return fields_of(self.headers)


def save(instance, attributes):
    request = current_request.get()
    if request is not None:
        instance.save(request, "id-1", attributes)


def saves_first(instance, environ, start_response):
    save(instance, {"n": 2})
    start_response("200 OK", [("X-App", "yes")])
    return [b"one ", b"two"]


def saves_after_start_response(instance, environ, start_response):
    start_response("200 OK", [("X-App", "yes")])
    save(instance, {"n": 2})
    return [b"one ", b"two"]


def generator(instance, environ, start_response):
    save(instance, {"n": 2})
    start_response("200 OK", [("X-App", "yes")])
    yield b"one "
    yield b"two"


def replaces_its_head(instance, environ, start_response):
    start_response("200 OK", [])
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", [("X-App", "yes")], sys.exc_info())
    save(instance, {"n": 2})
    return [b"one two"]


def writes(instance, environ, start_response):
    save(instance, {"n": 2})
    write = start_response("200 OK", [("X-App", "yes")])
    write(b"one ")
    return [b"two"]


APPS = [saves_first, saves_after_start_response, generator, replaces_its_head, writes]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("app", APPS)
def test_a_change_is_in_the_head_of_the_response(app, phase):
    server = Server(app).get(phase=phase)
    assert (server.fields["op"], server.fields["ver"], server.fields["state"]) == ("put", "13", b'{"n":2}')
    assert server.status == "200 OK" and b"".join(server.body) == b"one two" and server.heads == 1
    assert ("X-App", "yes") in server.headers


@pytest.mark.parametrize("app", APPS)
def test_without_auth_the_application_is_alone(app):
    server = Server(app).get()
    assert server.fields is None and b"".join(server.body) == b"one two"


def test_a_refusal_comes_before_the_application():
    def app(instance, environ, start_response):
        raise AssertionError("the application ran")

    server = Server(app).get(phase="stateless", fields=["want=99-00000000"])
    assert server.status.startswith("409") and server.fields["op"] == "stale"
    assert dict(server.headers)["Content-Length"] == str(len(b"".join(server.body)))
    server.get(phase="stateless", cookie="s=id-2")
    assert server.status.startswith("409") and server.fields["op"] == "missing"


def test_endpoints_come_before_the_application():
    def app(instance, environ, start_response):
        raise AssertionError("the application ran")

    server = Server(app)
    target = V1 + "sessions/id-1"
    server.get(target)
    assert server.status.startswith("401") and server.fields is None
    server.get(target, HTTP_UNSTICK_AUTH=server.instance.proxy.endpoint_auth("GET", target))
    assert server.status == "200 OK" and server.body == [b'{"n":1}']


def test_of_several_session_cookies_the_first_counts():
    server = Server(saves_first).get(phase="mirroring", cookie="s=id-1; s=id-2")
    assert server.fields["id"] == "id-1"


def test_an_exception_of_the_application_passes_and_reports_nothing():
    def app(instance, environ, start_response):
        save(instance, {"n": 2})
        raise ValueError("broken")

    server = Server(app)
    with pytest.raises(ValueError, match="broken"):
        server.get(phase="stateless")
    assert server.instance.memory.sessions == {"id-1": {"n": 1}}


class CommitsOnClose:
    """As session layers do that wrap the body."""

    def __init__(self, instance, chunks):
        self.instance, self.chunks, self.closed = instance, iter(chunks), 0

    def __iter__(self):
        return self.chunks

    def close(self):
        self.closed += 1
        save_request = self.request
        self.instance.save(save_request, "id-1", {"n": "late"})


def late_app(headers, chunks=(b"one ", b"two")):
    bodies = []

    def app(instance, environ, start_response):
        start_response("200 OK", headers)
        body = CommitsOnClose(instance, chunks)
        body.request = current_request.get()
        bodies.append(body)
        return body

    app.bodies = bodies
    return app


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("headers", [[], [("Content-Length", "7")]])
def test_a_session_layer_that_commits_on_close_is_late(phase, headers):
    app = late_app(headers)
    server = Server(app, commits_late=True).get(phase=phase)
    assert server.fields["op"] == "late" and b"".join(server.body) == b"one two"
    assert app.bodies[0].closed == 1
    reply = server.instance.call("GET", "sessions/id-1")
    assert reply.body == b'{"n":"late"}' and fields_of(reply.headers)["ver"] == "13"


@pytest.mark.parametrize("phase", PHASES)
def test_the_last_byte_of_a_body_with_a_length_comes_after_the_commit(phase):
    server = Server(late_app([("Content-Length", "7")]), commits_late=True)
    environ = {
        "PATH_INFO": "/",
        "HTTP_COOKIE": "s=id-1",
        "HTTP_UNSTICK_SESSION": server.instance.proxy.head(phase, WANT),
    }
    body = iter(server.app(environ, server.start_response))
    assert next(body) == b"one " and server.instance.memory.sessions["id-1"] == {"n": 1}
    assert next(body) == b"two" and server.instance.memory.sessions["id-1"] == {"n": "late"}


@pytest.mark.parametrize("phase", PHASES)
def test_a_late_body_that_the_client_abandons_is_settled_on_close(phase):
    app = late_app([])
    server = Server(app, commits_late=True)
    environ = {
        "PATH_INFO": "/",
        "HTTP_COOKIE": "s=id-1",
        "HTTP_UNSTICK_SESSION": server.instance.proxy.head(phase, WANT),
    }
    server.app(environ, server.start_response).close()
    assert app.bodies[0].closed == 1 and server.instance.memory.sessions["id-1"] == {"n": "late"}


def test_the_bridge_can_be_built_with_the_real_clock_and_secret():
    bridge = Bridge(Instance().memory, SECRET)
    assert bridge.clock() > 1_700_000_000
