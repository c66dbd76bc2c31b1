"""Two real servers of each example on loopback, and a session that moves between them."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kit import SECRET, V1, Proxy, fields_of, lines_of, state_of, version_tag

PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLES = PACKAGE.parents[2] / "Examples"
proxy = Proxy(SECRET, time.time)


class Server:
    def __init__(self, example, name, environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "serve.py", "--port", str(self.port), "--name", name]
        self.process = subprocess.Popen(
            command, cwd=EXAMPLES / example, env=environment, stdout=subprocess.PIPE, text=True
        )
        self.first_line = self.process.stdout.readline()

    def request(
        self, method, path, phase=None, session_id=None, *fields, state=None, head=None, headers=None, body=b""
    ):
        headers = dict(headers or {})
        if phase is not None or head is not None:
            headers["Unstick-Session"] = head or proxy.head(phase, *fields)
        if state is not None:
            headers["Unstick-State"] = state
        if session_id is not None:
            headers["Cookie"] = f"{self.cookie}={session_id}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.data = response.read()
            return response
        finally:
            connection.close()

    def call(self, method, resource, body=b"", session=None):
        headers = {"Unstick-Auth": proxy.endpoint_auth(method, V1 + resource, body)}
        if session is not None:
            headers["Unstick-Session"] = session
        return self.request(method, V1 + resource, headers=headers, body=body)

    def hydrate(self, session_id, tag, state):
        return self.call("PUT", f"sessions/{session_id}", state, proxy.put_fields(session_id, tag, state))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module", params=["django-shop", "flask-notes"])
def servers(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "bridge.key").write_bytes(SECRET + b"\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE / "src"),
        "UNSTICK_SECRET_FILE": str(directory / "bridge.key"),
        "SHOP_DB": str(directory / "shop.db"),
    }
    if request.param == "django-shop":
        seed = [sys.executable, "manage.py", "seed"]
        subprocess.run(seed, cwd=EXAMPLES / request.param, env=environment, check=True, stdout=subprocess.DEVNULL)
    pair = [Server(request.param, name, environment) for name in ("web-1", "web-2")]
    for server in pair:
        server.cookie = "sessionid" if request.param == "django-shop" else "session"
        server.is_django = request.param == "django-shop"
    yield pair
    for server in pair:
        server.stop()


def cookie_of(response):
    """The session cookie's value; Django sends another cookie before it."""
    cookies = [header.partition(";")[0].partition("=") for header in response.headers.get_all("Set-Cookie")]
    return next(value for name, _, value in cookies if name in ("session", "sessionid"))


def report_of(response):
    return fields_of(response.headers)


def tag_in(report):
    return f"{report['ver']}-{report['tag']}"


def test_a_server_prints_one_line_when_it_listens_and_signs_its_answers(servers):
    for server, name in zip(servers, ("web-1", "web-2")):
        assert server.first_line.startswith(f"{name} listening on 127.0.0.1:{server.port}")
        response = server.request("GET", "/healthz")
        assert response.status == 200 and response.headers["X-Served-By"] == name


def test_a_session_is_created_on_one_instance_and_goes_on_at_the_other(servers):
    first, second = servers
    response = first.request("POST", "/increment", "stateless")
    session_id, created = cookie_of(response), report_of(response)
    exported = first.call("GET", f"sessions/{session_id}").data
    assert exported == created["state"]

    missing = second.request("GET", "/value", "stateless", session_id, f"want={tag_in(created)}")
    assert missing.status == 409 and report_of(missing)["op"] == "missing"

    head, encoded = proxy.put("stateless", session_id, 1, exported)
    response = second.request("POST", "/increment", session_id=session_id, head=head, state=encoded)
    changed = report_of(response)
    assert response.data == b"2" and (changed["ver"], changed["base"]) == ("2", tag_in(created))

    stale = first.request("POST", "/increment", "stateless", session_id, f"want={tag_in(changed)}")
    assert stale.status == 409 and report_of(stale)["have"] == tag_in(created)
    header = proxy.put_fields(session_id, tag_in(changed), changed["state"]) + "; phase=stateless"
    assert report_of(first.call("PUT", f"sessions/{session_id}", changed["state"], header))["ver"] == "2"
    response = first.request("POST", "/increment", "stateless", session_id, f"want={tag_in(changed)}")
    assert response.data == b"3" and report_of(response)["ver"] == "3"
    assert report_of(response)["inst"] != changed["inst"]


@pytest.mark.parametrize("size", [5000, 1 << 20])
@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless", "completed"])
def test_a_long_state_goes_by_put_and_comes_back_by_get(servers, phase, size):
    first, _ = servers
    session_id = f"long{size}{phase}"
    attributes = {"counter:": 41, "blob": "x" * size, "_permanent": True}
    state = state_of(attributes)
    reply = first.hydrate(session_id, version_tag(7, state), state)
    assert reply.status == 200 and tag_in(report_of(reply)) == version_tag(7, state)
    response = first.request("POST", "/increment", phase, session_id, f"want={version_tag(7, state)}")
    report = report_of(response)
    assert response.data == b"42" and (report["op"], report["ver"]) == ("put", "8") and "state" not in report
    changed = state_of({**attributes, "counter:": 42})
    assert first.call("GET", f"sessions/{session_id}?ver=8").data == changed


@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless"])
def test_a_login_rotates_and_a_logout_destroys(servers, phase):
    first, _ = servers
    response = first.request("POST", "/increment", phase)
    old_id, created = cookie_of(response), report_of(response)
    response = first.request("POST", "/login-as?user=ada", phase, old_id, f"want={tag_in(created)}")
    new_id, rotated = cookie_of(response), report_of(response)
    assert (rotated["op"], rotated["id"], rotated["old"]) == ("rotate", new_id, old_id)
    assert json.loads(rotated["state"])["counter:"] == 1
    response = first.request("POST", "/logout", phase, new_id, f"want={tag_in(rotated)}")
    destroyed = report_of(response)
    assert (destroyed["op"], destroyed["id"]) == ("destroy", new_id) and int(destroyed["ttl"]) > 1700
    assert first.request("GET", "/value", phase, new_id).status == 409


def test_reading_a_counter_makes_no_session(servers):
    response = servers[0].request("GET", "/value?key=k", "stateless")
    assert response.data == b"0" and report_of(response)["op"] == "none" and "Set-Cookie" not in response.headers


def test_a_forged_state_is_401_and_nothing_leaks_without_auth(servers):
    first, _ = servers
    state = state_of({"counter:": 1000})
    forged = Proxy(b"x" * 32, time.time).put_fields("forged-session", version_tag(1, state), state)
    head = proxy.head("stateless", forged)
    _, encoded = proxy.put("stateless", "forged-session", 1, state)
    assert first.request("GET", "/value", session_id="forged-session", head=head, state=encoded).status == 401
    for head in (None, "v=1; phase=stateless; absent", Proxy(b"x" * 32, time.time).head("stateless", "absent")):
        response = first.request("POST", "/increment", head=head)
        assert response.status == 200
        assert not [name for name in response.headers if name.lower().startswith("unstick")]
    response = first.request("GET", V1 + "sessions")
    assert response.status == 401 and not [name for name in response.headers if name.lower().startswith("unstick")]


def test_parallel_requests_of_one_session_on_own_copies_have_one_base(servers):
    first, _ = servers
    response = first.request("POST", "/increment", "stateless")
    session_id, created = cookie_of(response), report_of(response)
    head, encoded = proxy.put("stateless", session_id, 1, created["state"])
    barrier, reports = threading.Barrier(8), []

    def increment():
        barrier.wait()
        response = first.request("POST", "/increment", session_id=session_id, head=head, state=encoded)
        reports.append((response.data, report_of(response)))

    threads = [threading.Thread(target=increment) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [data for data, _ in reports] == [b"2"] * 8
    assert {report["base"] for _, report in reports} == {tag_in(created)}
    assert len({report["ver"] for _, report in reports}) == 8


def test_a_crawl_of_a_busy_instance_misses_no_lasting_session(servers):
    first, _ = servers
    lasting = {cookie_of(first.request("POST", "/increment")) for _ in range(20)}
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            session_id = cookie_of(first.request("POST", "/increment"))
            first.request("POST", "/logout", session_id=session_id)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            seen, cursor = set(), ""
            while cursor is not None:
                lines, cursor = lines_of(first.call("GET", f"sessions?limit=3&cursor={cursor}").data)
                seen |= {line["id"] for line in lines}
            assert lasting <= seen
    finally:
        stop.set()
        thread.join(30)


def test_a_body_over_the_limit_is_413(servers):
    first, _ = servers
    body = b"x" * (16 * 1024 * 1024 + 1)
    headers = {"Unstick-Auth": proxy.endpoint_auth("PUT", V1 + "sessions/long", body)}
    assert first.request("PUT", V1 + "sessions/long", headers=headers, body=body).status == 413


def test_the_shops_admin_works_behind_the_bridge(servers):
    first, _ = servers
    if not first.is_django:
        pytest.skip("only the shop has an admin")
    page = first.request("GET", "/login/", "stateless")
    token = page.data.decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    csrf = page.headers["Set-Cookie"].partition(";")[0]
    response = first.request(
        "POST",
        "/login/",
        "stateless",
        headers={"Cookie": csrf, "Content-Type": "application/x-www-form-urlencoded"},
        body=f"csrfmiddlewaretoken={token}&username=admin&password=unstick-demo".encode(),
    )
    assert response.status == 302
    report = report_of(response)
    assert report["op"] == "put"
    response = first.request("GET", "/admin/", "stateless", report["id"], f"want={tag_in(report)}")
    assert response.status == 200 and b"Site administration" in response.data
