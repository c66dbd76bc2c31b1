"""Flask with Flask-Session and SimpleCache, through Flask's own test client."""

import json
import pickle
import time

import flask
import pytest
from cachelib.file import FileSystemCache
from cachelib.simple import SimpleCache
from flask_session import Session
from kit import SECRET, V1, Proxy, fields_of, lines_of, state_of, version_tag

from unstick_bridge.flask import ConfigurationError, Unstick
from unstick_bridge.secret import SecretError

PHASES = ["mirroring", "externalized", "stateless", "completed"]


@pytest.fixture
def secret_file(tmp_path):
    file = tmp_path / "bridge.key"
    file.write_bytes(SECRET)
    return str(file)


def make_app(secret_file, **config):
    app = flask.Flask(__name__)
    cache = SimpleCache(threshold=1_000_000)
    app.config.update(
        SECRET_KEY="for tests",
        SESSION_TYPE="cachelib",
        SESSION_CACHELIB=cache,
        PERMANENT_SESSION_LIFETIME=1800,
        UNSTICK_SECRET_FILE=secret_file,
        **config,
    )
    Session(app)

    @app.get("/set/<int:value>")
    def set_value(value):
        flask.session["n"] = value
        return "set"

    @app.get("/get")
    def get_value():
        return str(flask.session.get("n", 0))

    @app.get("/login")
    def log_in():
        flask.session["user"] = 7
        app.session_interface.regenerate(flask.session)
        return "welcome"

    @app.get("/logout")
    def log_out():
        flask.session.clear()
        return "bye"

    @app.get("/odd")
    def odd():
        flask.session["odd"] = (1, 2)
        return "odd"

    @app.get("/hook")
    def hook():
        return app.hook()

    return app


class Notes:
    def __init__(self, app):
        self.app = app
        self.bridge = Unstick(app).bridge
        self.cache = app.config["SESSION_CACHELIB"]
        self.proxy = Proxy(SECRET, time.time)

    def visit(self, path, phase, session_id=None, *fields, state=None, head=None):
        headers = {"Unstick-Session": head or self.proxy.head(phase, *fields)}
        if state is not None:
            headers["Unstick-State"] = state
        if session_id is not None:
            headers["Cookie"] = f"session={session_id}"
        return self.app.test_client(use_cookies=False).get(path, headers=headers)

    def hydrate(self, path, phase, session_id, version, state, codec="json"):
        head, encoded = self.proxy.put(phase, session_id, version, state, codec)
        return self.visit(path, phase, session_id, state=encoded, head=head)

    def call(self, method, resource, body=b"", session=None):
        target = V1 + resource
        headers = {"Unstick-Auth": self.proxy.endpoint_auth(method, target, body)}
        if session is not None:
            headers["Unstick-Session"] = session
        return self.app.test_client().open(target, method=method, data=body, headers=headers)

    def want(self, report):
        return f"want={report['ver']}-{report['tag']}"


@pytest.fixture(params=[False, True], ids=["plain ids", "signed ids"])
def notes(request, secret_file):
    return Notes(make_app(secret_file, SESSION_USE_SIGNER=request.param))


def cookie_of(response):
    header = response.headers["Set-Cookie"]
    return header.partition("=")[2].partition(";")[0]


@pytest.mark.parametrize("phase", PHASES)
def test_a_session_is_created_changed_read_and_ended(notes, phase):
    response = notes.visit("/set/1", phase)
    created = fields_of(response.headers)
    session_id = cookie_of(response)
    assert (created["op"], created["id"], created["ver"], created["ttl"]) == ("put", session_id, "1", "1800")
    assert json.loads(created["state"]) == {"n": 1, "_permanent": True}

    changed = fields_of(notes.visit("/set/2", phase, session_id, notes.want(created)).headers)
    assert (changed["op"], changed["ver"], changed["base"]) == ("put", "2", f"1-{created['tag']}")

    response = notes.visit("/get", phase, session_id, notes.want(changed))
    read = fields_of(response.headers)
    assert response.text == "2" and (read["op"], read["ver"], read["ttl"]) == ("touch", "2", "1800")

    ended = fields_of(notes.visit("/logout", phase, session_id, notes.want(changed)).headers)
    assert (ended["op"], ended["id"], ended["ver"]) == ("destroy", session_id, "3")
    assert lines_of(notes.call("GET", "sessions").data) == ([], None)


@pytest.mark.parametrize("phase", PHASES)
def test_regenerating_the_id_rotates(notes, phase):
    response = notes.visit("/set/1", phase)
    old_id, created = cookie_of(response), fields_of(response.headers)
    response = notes.visit("/login", phase, old_id, notes.want(created))
    rotated = fields_of(response.headers)
    assert (rotated["op"], rotated["id"], rotated["old"]) == ("rotate", cookie_of(response), old_id)
    assert json.loads(rotated["state"]) == {"n": 1, "user": 7, "_permanent": True}
    assert [line["id"] for line in lines_of(notes.call("GET", "sessions").data)[0]] == [cookie_of(response)]


@pytest.mark.parametrize("phase", PHASES)
def test_no_session_is_none(notes, phase):
    response = notes.visit("/get", phase)
    assert fields_of(response.headers)["op"] == "none" and "Set-Cookie" not in response.headers


@pytest.mark.parametrize("phase", PHASES)
def test_absent_starts_fresh_under_a_new_id(notes, phase):
    session_id = cookie_of(notes.visit("/set/1", "mirroring"))
    notes.call("DELETE", f"sessions/{session_id}")
    response = notes.visit("/set/2", phase, session_id, "absent")
    report = fields_of(response.headers)
    assert report["op"] == "put" and report["id"] == cookie_of(response) != session_id


@pytest.mark.parametrize("phase", PHASES)
def test_put_hydrates_before_the_application_runs(notes, phase):
    session_id = cookie_of(notes.visit("/set/1", "mirroring"))
    notes.call("DELETE", f"sessions/{session_id}")
    assert fields_of(notes.visit("/get", phase, session_id, "want=1-00000000").headers)["op"] == "missing"
    response = notes.hydrate("/get", phase, session_id, 12, state_of({"n": 5}))
    assert response.text == "5" and fields_of(response.headers)["op"] == "touch"


@pytest.mark.parametrize("phase", ["stateless", "completed"])
def test_a_request_works_on_its_own_copy_while_memory_is_replaced(notes, phase):
    response = notes.visit("/set/1", "mirroring")
    session_id, created = cookie_of(response), fields_of(response.headers)

    def view():
        assert notes.hydrate("/get", phase, session_id, 20, state_of({"n": 100})).text == "100"
        flask.session["n"] += 1
        return str(flask.session["n"])

    notes.app.hook = view
    response = notes.visit("/hook", phase, session_id, notes.want(created))
    report = fields_of(response.headers)
    assert response.text == "2" and json.loads(report["state"])["n"] == 2
    assert (report["ver"], report["base"]) == ("21", f"1-{created['tag']}")


def test_signed_ids_come_with_the_caches_own_key(secret_file):
    with pytest.warns(DeprecationWarning):
        notes = Notes(make_app(secret_file, SESSION_USE_SIGNER=True))
    response = notes.visit("/set/1", "mirroring")
    report = fields_of(response.headers)
    (key,) = notes.cache._cache
    assert report["native"] == key and report["id"] == cookie_of(response)
    bare, _, signature = report["id"].rpartition(".")
    for forged in (bare, f"{bare}.{'A' * len(signature)}", f"{bare}.{signature}="):
        assert fields_of(notes.visit("/get", "mirroring", forged).headers)["op"] == "missing"


def test_an_attribute_that_json_cannot_carry_is_counted(notes):
    response = notes.visit("/odd", "mirroring")
    report = fields_of(response.headers)
    assert report["bad"] == "1" and "state" not in report
    assert lines_of(notes.call("GET", "sessions").data)[0][0]["attributes"] == ["odd"]


@pytest.mark.parametrize("phase", PHASES)
def test_sessions_travel_as_pickles_on_request(secret_file, phase):
    notes = Notes(make_app(secret_file, UNSTICK_CODEC="pickle"))
    report = fields_of(notes.visit("/odd", phase).headers)
    assert report["codec"] == "pickle" and pickle.loads(report["state"])["odd"] == (1, 2)
    state = pickle.dumps({"n": 5, "odd": (1,)}, pickle.HIGHEST_PROTOCOL)
    response = notes.hydrate("/get", phase, "some-id", 12, state, codec="pickle")
    assert response.text == "5"
    assert notes.call("GET", "sessions/some-id").data == state
    assert notes.hydrate("/get", "stateless", "some-id", 13, state, codec="yaml").status_code == 415


def test_an_expired_session_is_missing(notes):
    session_id = cookie_of(notes.visit("/set/1", "mirroring"))
    for key, (_, value) in notes.cache._cache.items():
        notes.cache._cache[key] = (time.time() - 1, value)
    assert fields_of(notes.visit("/get", "externalized", session_id).headers)["op"] == "missing"
    assert lines_of(notes.call("GET", "sessions").data) == ([], None)


def test_endpoints_put_and_describe(notes):
    session_id = cookie_of(notes.visit("/set/1", "mirroring"))
    state = state_of({"n": "x" * (1 << 20)})
    header = notes.proxy.put_fields(session_id, version_tag(9, state), state, ttl=600)
    reply = notes.call("PUT", f"sessions/{session_id}", state, header)
    assert fields_of(reply.headers)["ver"] == "9" and 590 <= int(fields_of(reply.headers)["ttl"]) <= 601
    description = json.loads(notes.call("GET", "instance").data)
    assert (description["framework"], description["sessions"], description["warning"]) == ("flask-session", 1, None)


def test_other_entries_of_the_cache_are_not_sessions(notes):
    notes.cache.set("page", "html")
    assert lines_of(notes.call("GET", "sessions").data) == ([], None)
    assert json.loads(notes.call("GET", "instance").data)["sessions"] == 0


def test_a_cache_that_may_drop_sessions_is_warned_of(secret_file):
    notes = Notes(make_app(secret_file))
    notes.cache._threshold = 500
    assert "threshold=500" in json.loads(notes.call("GET", "instance").data)["warning"]


def test_without_auth_flask_is_alone(notes):
    client = notes.app.test_client()
    client.get("/set/1", headers={"Unstick-Session": "v=1; phase=mirroring"})
    response = client.get("/get")
    assert response.text == "1" and not [name for name in response.headers.keys() if name.startswith("Unstick")]


@pytest.mark.parametrize(
    "change, error",
    [
        (lambda app: app.config.update(UNSTICK_SECRET_FILE=None), ConfigurationError),
        (lambda app: app.config.update(UNSTICK_SECRET_FILE=__file__ + ".absent"), SecretError),
        (lambda app: app.config.update(UNSTICK_CODEC="yaml"), ConfigurationError),
        (
            lambda app: setattr(app, "session_interface", flask.sessions.SecureCookieSessionInterface()),
            ConfigurationError,
        ),
    ],
)
def test_an_application_that_unstick_cannot_serve_does_not_start(secret_file, monkeypatch, change, error):
    monkeypatch.delenv("UNSTICK_SECRET_FILE", raising=False)
    app = make_app(secret_file)
    change(app)
    with pytest.raises(error):
        Unstick(app)


def test_sessions_in_files_are_refused(secret_file, tmp_path):
    app = make_app(secret_file)
    app.config["SESSION_CACHELIB"] = FileSystemCache(str(tmp_path / "cache"))
    Session(app)
    with pytest.raises(ConfigurationError, match="FileSystemCache"):
        Unstick(app)
