"""Django through its real handler, for every engine that keeps sessions on the server."""

import asyncio
import json
import pickle
import time
from importlib import import_module

import django_site
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncClient, Client, override_settings
from kit import SECRET, V1, Proxy, fields_of, lines_of, state_of, version_tag

from unstick_bridge.django import UnstickMiddleware

BACKENDS = "django.contrib.sessions.backends."
ENGINES = ["cache", "db", "cached_db", "file"]
PHASES = ["mirroring", "externalized", "stateless", "completed"]


class PickleSerializer:
    def dumps(self, obj):
        return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)

    def loads(self, data):
        return pickle.loads(data)


class Site:
    """The site with its bridge, and the proxy in front."""

    def __init__(self):
        self.proxy = Proxy(SECRET, time.time)
        self.client = Client()
        self.store = import_module(settings.SESSION_ENGINE).SessionStore

    def visit(self, path, phase=None, session_id=None, *fields, state=None):
        headers = {}
        if phase is not None:
            headers["HTTP_UNSTICK_SESSION"] = self.proxy.head(phase, *fields)
        if state is not None:
            headers["HTTP_UNSTICK_STATE"] = state
        self.client.cookies.clear()
        if session_id is not None:
            headers["HTTP_COOKIE"] = f"sessionid={session_id}"
        return self.client.get("/" + path, **headers)

    def hydrate(self, path, phase, session_id, version, attributes, codec="json", ttl=1800):
        state = attributes if isinstance(attributes, bytes) else state_of(attributes)
        header, encoded = self.proxy.put(phase, session_id, version, state, codec, ttl)
        return self.client.get(
            "/" + path, HTTP_UNSTICK_SESSION=header, HTTP_UNSTICK_STATE=encoded, HTTP_COOKIE=f"sessionid={session_id}"
        )

    def new(self, **attributes):
        """The id of a session made outside any bridged request."""
        store = self.store()
        store.update(attributes)
        store.save()
        return store.session_key

    def stored(self, session_id):
        """What the engine's memory holds."""
        return dict(self.store(session_id).items())

    def call(self, method, resource, body=b"", session=None):
        target = V1 + resource
        headers = {"HTTP_UNSTICK_AUTH": self.proxy.endpoint_auth(method, target, body), "REQUEST_URI": target}
        if session is not None:
            headers["HTTP_UNSTICK_SESSION"] = session
        return self.client.generic(method, target, body, content_type="application/octet-stream", **headers)


@pytest.fixture(params=ENGINES)
def site(request):
    with override_settings(SESSION_ENGINE=BACKENDS + request.param):
        site = Site()
        forget_everything(site)
        yield site


@pytest.fixture
def memory_site():
    site = Site()
    forget_everything(site)
    return site


def forget_everything(site):
    for line in lines_of(site.call("GET", "sessions?limit=10000").content)[0]:
        site.call("DELETE", "sessions/" + line["id"])


def want(version, attributes):
    return f"want={version_tag(version, attributes)}"


@pytest.mark.parametrize("phase", PHASES)
def test_a_session_is_created_changed_read_and_ended(site, phase):
    response = site.visit("set_value?key=n&value=1", phase)
    created = fields_of(response)
    session_id = response.cookies["sessionid"].value
    assert (created["op"], created["id"], created["ver"], created["state"]) == ("put", session_id, "1", b'{"n":1}')
    assert (created["ttl"], created["codec"]) == ("1800", "json") and "base" not in created

    changed = fields_of(site.visit("set_value?key=n&value=2", phase, session_id, want(1, {"n": 1})))
    assert (changed["op"], changed["ver"], changed["base"]) == ("put", "2", version_tag(1, {"n": 1}))
    assert changed["state"] == b'{"n":2}' and site.stored(session_id) == {"n": 2}

    response = site.visit("get_value?key=n", phase, session_id, want(2, {"n": 2}))
    assert response.content == b"2"
    read = fields_of(response)
    assert (read["op"], read["ver"]) == ("touch", "2") and 1790 <= int(read["ttl"]) <= 1800

    ended = fields_of(site.visit("log_out", phase, session_id, want(2, {"n": 2})))
    assert (ended["op"], ended["id"], ended["ver"]) == ("destroy", session_id, "3")
    assert site.stored(session_id) == {}


@pytest.mark.parametrize("phase", PHASES)
def test_a_login_rotates_the_id_and_keeps_the_cart(site, phase):
    session_id = site.new(cart={"tea": 2})
    response = site.visit("log_in", phase, session_id, want(1, {"cart": {"tea": 2}}))
    rotated = fields_of(response)
    new_id = response.cookies["sessionid"].value
    assert new_id != session_id
    assert (rotated["op"], rotated["id"], rotated["old"], rotated["ver"]) == ("rotate", new_id, session_id, "1")
    state = json.loads(rotated["state"])
    assert state["cart"] == {"tea": 2} and "_auth_user_id" in state
    assert site.stored(new_id) == state and site.stored(session_id) == {}


@pytest.mark.parametrize("phase", PHASES)
def test_a_login_without_a_session_is_a_put(site, phase):
    assert fields_of(site.visit("log_in", phase))["op"] == "put"


@pytest.mark.parametrize("phase", PHASES)
def test_no_session_is_none(site, phase):
    response = site.visit("get_value?key=n", phase)
    assert fields_of(response)["op"] == "none" and "sessionid" not in response.cookies


@pytest.mark.parametrize("phase", PHASES)
def test_absent_starts_fresh_under_a_new_id(site, phase):
    unknown = "x" * 32
    response = site.visit("set_value?key=n&value=1", phase, unknown, "absent")
    report = fields_of(response)
    assert report["op"] == "put" and report["id"] == response.cookies["sessionid"].value != unknown


@pytest.mark.parametrize("phase", PHASES)
def test_absent_for_an_untouched_session_is_none(site, phase):
    assert fields_of(site.visit("untouched", phase, "x" * 32, "absent"))["op"] == "none"


@pytest.mark.parametrize("phase", PHASES)
def test_put_hydrates_before_the_application_runs(site, phase):
    session_id = "h" * 32
    response = site.hydrate("get_value?key=n", phase, session_id, 12, {"n": "from the store"}, ttl=600)
    assert response.content == b'"from the store"'
    report = fields_of(response)
    assert (report["op"], report["ver"]) == ("touch", "12") and 590 <= int(report["ttl"]) <= 601
    assert site.stored(session_id) == {"n": "from the store"}


@pytest.mark.parametrize("phase", ["externalized", "stateless", "completed"])
def test_missing_and_stale_are_answered_before_the_application_runs(site, phase):
    response = site.visit("set_value?key=n&value=1", phase, "x" * 32, "want=3-00000000")
    assert response.status_code == 409 and fields_of(response)["op"] == "missing"
    session_id = site.new(n=1)
    response = site.visit("set_value?key=n&value=2", phase, session_id, "want=3-00000000")
    assert response.status_code == 409 and fields_of(response)["op"] == "stale"
    assert site.stored(session_id) == {"n": 1}


@pytest.mark.parametrize("phase", PHASES)
def test_a_change_that_django_drops_is_not_reported(site, phase):
    session_id = site.new(cart={})
    response = site.visit("nested", phase, session_id, want(1, {"cart": {}}))
    assert fields_of(response)["op"] == "touch" and site.stored(session_id) == {"cart": {}}


@pytest.mark.parametrize("phase", PHASES)
def test_a_failed_response_saves_nothing_as_in_django(site, phase):
    session_id = site.new(n=1)
    report = fields_of(site.visit("fail", phase, session_id, want(1, {"n": 1})))
    assert (report["op"], report["ver"]) == ("touch", "1") and site.stored(session_id) == {"n": 1}


@pytest.mark.parametrize("phase", PHASES)
def test_the_sessions_own_expiry_is_the_ttl(site, phase):
    report = fields_of(site.visit("short", phase))
    assert report["ttl"] == "300"
    line = lines_of(site.call("GET", "sessions").content)[0][0]
    assert 290 <= line["ttl"] <= 301


@pytest.mark.parametrize("phase", PHASES)
def test_saving_at_every_request_moves_the_expiry_and_is_a_touch(site, phase):
    session_id = "h" * 32
    site.hydrate("untouched", "mirroring", session_id, 12, {"n": 1}, ttl=60)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        report = fields_of(site.visit("get_value?key=n", phase, session_id, want(12, {"n": 1})))
    assert (report["op"], report["ver"], report["ttl"]) == ("touch", "12", "1800")
    assert 1790 <= lines_of(site.call("GET", "sessions").content)[0][0]["ttl"] <= 1801


@pytest.mark.parametrize("phase", ["stateless", "completed"])
def test_a_request_works_on_its_own_copy_while_memory_is_replaced(site, phase):
    """The other request comes between this one's start and its first look at the session, and again before its save."""
    session_id = site.new(n=1)

    def view(request):
        # The same client, as two connections to one process have one bridge.
        assert site.hydrate("get_value?key=n", phase, session_id, 20, {"n": 100}).content == b"100"
        seen = request.session["n"]
        request.session["n"] = seen + 1
        site.hydrate("set_value?key=m&value=1", phase, session_id, 30, {"n": 200})
        return django_site.HttpResponse(str(seen))

    django_site.hooks["view"] = view
    response = site.visit("hook", phase, session_id, want(1, {"n": 1}))
    assert response.content == b"1"
    report = fields_of(response)
    assert (report["base"], report["state"]) == (version_tag(1, {"n": 1}), b'{"n":2}')
    assert int(report["ver"]) == 32


def test_mirroring_leaves_the_framework_to_its_memory(site):
    """What other code saved in the meantime is seen, as without a bridge."""
    session_id = site.new(n=1)

    def view(request):
        other = site.store(session_id)
        other["n"] = 50
        other.save()
        return django_site.HttpResponse(str(request.session["n"]))

    django_site.hooks["view"] = view
    response = site.visit("hook", "mirroring", session_id)
    assert response.content == b"50" and fields_of(response)["state"] == b'{"n":50}'


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("query", ["", "?length"])
def test_a_streamed_response_is_late_and_settles_before_its_body_ends(site, phase, query):
    session_id = site.new(n=1)
    response = site.visit("stream" + query, phase, session_id, want(1, {"n": 1}))
    assert fields_of(response) == {"op": "late", "id": session_id, "inst": fields_of(response)["inst"]}
    body = iter(response.streaming_content)
    chunks = [next(body)]
    if query:
        # The client knows the body's length, so the last byte must not come before the session is settled.
        chunks.append(next(body))
        assert site.call("GET", f"sessions/{session_id}").content == b'{"n":"streamed"}'
    chunks += list(body)
    assert b"".join(chunks) == b"one two"
    reply = site.call("GET", f"sessions/{session_id}")
    assert reply.content == b'{"n":"streamed"}'
    assert (fields_of(reply)["ver"], fields_of(reply)["base"]) == ("2", version_tag(1, {"n": 1}))


def test_files_are_not_late(site):
    session_id = site.new(n=1)
    assert fields_of(site.visit("file", "mirroring", session_id))["op"] == "touch"
    assert fields_of(site.visit("stream", "mirroring"))["op"] == "none"


@pytest.mark.parametrize("resource", ["instance", "sessions", "sessions/" + "x" * 32])
def test_endpoints_demand_their_signature(site, resource):
    response = site.client.get(V1 + resource)
    assert response.status_code == 401
    assert not [name for name in response.headers if name.lower().startswith("unstick")]


def test_endpoints_list_export_hydrate_and_evict(site):
    session_id = site.new(n=1)
    (line,), _ = lines_of(site.call("GET", "sessions").content)
    assert (line["id"], line["ver"]) == (session_id, 1) and 1790 <= line["ttl"] <= 1800
    assert site.call("GET", f"sessions/{session_id}").content == b'{"n":1}'

    state = state_of({"n": "x" * (1 << 20)})
    header = site.proxy.put_fields(session_id, version_tag(9, state), state, ttl=900)
    reply = site.call("PUT", f"sessions/{session_id}", state, header)
    assert reply.status_code == 200 and fields_of(reply)["ver"] == "9" and 890 <= int(fields_of(reply)["ttl"]) <= 901
    response = site.visit("get_value?key=n", "stateless", session_id, want(9, state))
    assert len(response.content) == (1 << 20) + 2

    assert site.call("DELETE", f"sessions/{session_id}").status_code == 200
    assert site.stored(session_id) == {} and lines_of(site.call("GET", "sessions").content) == ([], None)


def test_instance_names_engine_codec_and_number_of_sessions(site):
    site.new(n=1)
    description = json.loads(site.call("GET", "instance").content)
    assert description["framework"].startswith("django/") and settings.SESSION_ENGINE in description["framework"]
    assert (description["codec"], description["sessions"]) == ("json", 1)


@pytest.mark.parametrize("header", [None, "v=1; phase=stateless; absent", "v=1; auth=1.AAAA; phase=stateless; absent"])
def test_without_valid_auth_django_behaves_as_without_a_bridge(site, header):
    session_id = site.new(n=1)
    headers = {"HTTP_UNSTICK_SESSION": header} if header else {}
    response = site.client.get("/set_value?key=n&value=2", HTTP_COOKIE=f"sessionid={session_id}", **headers)
    assert response.status_code == 200 and site.stored(session_id) == {"n": 2}
    assert not [name for name in response.headers if name.lower().startswith("unstick")]


def test_a_wrong_signature_is_401_and_the_application_does_not_run(site):
    session_id = "h" * 32
    header, encoded = site.proxy.put("stateless", session_id, 1, state_of({"n": 1}))
    response = site.client.get(
        "/get_value?key=n", HTTP_UNSTICK_SESSION=header, HTTP_UNSTICK_STATE=encoded, HTTP_COOKIE="sessionid=" + "i" * 32
    )
    assert response.status_code == 401 and site.stored("i" * 32) == {}


# One engine is enough from here on


def test_in_sticky_there_is_no_header_and_the_listing_counts_versions(memory_site):
    response = memory_site.visit("set_value?key=n&value=1", "sticky")
    session_id = response.cookies["sessionid"].value
    assert fields_of(response) is None
    assert lines_of(memory_site.call("GET", "sessions").content)[0][0]["ver"] == 1
    memory_site.visit("set_value?key=n&value=2", "sticky", session_id)
    assert lines_of(memory_site.call("GET", "sessions").content)[0][0]["ver"] == 2


@pytest.mark.parametrize("phase", PHASES)
def test_an_attribute_that_json_cannot_carry_is_counted_and_stays_in_memory(memory_site, phase):
    session_id = memory_site.new(n=1)
    report = fields_of(memory_site.visit("odd", phase, session_id, want(1, {"n": 1})))
    assert report["bad"] == "1" and "state" not in report
    assert memory_site.stored(session_id) == {"n": 1, "odd": (1, 2)}
    (line,), _ = lines_of(memory_site.call("GET", "sessions").content)
    assert (line["bad"], line["attributes"]) == (1, ["odd"])


@pytest.mark.parametrize("phase", PHASES)
def test_a_response_from_before_the_session_middleware_leaves_the_session_be(memory_site, phase):
    session_id = memory_site.new(n=1)
    with override_settings(MIDDLEWARE=[settings.MIDDLEWARE[0], "django_site.turned_away", *settings.MIDDLEWARE[1:]]):
        report = fields_of(Site().visit("get_value?key=n", phase, session_id, want(1, {"n": 1})))
    assert report["op"] == "touch" and memory_site.stored(session_id) == {"n": 1}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("phase", PHASES)
def test_sessions_travel_as_pickles_where_the_serializer_is_not_json(engine, phase):
    serializer = f"{__name__}.PickleSerializer"
    with override_settings(SESSION_ENGINE=BACKENDS + engine, SESSION_SERIALIZER=serializer):
        site = Site()
        forget_everything(site)
        state = pickle.dumps({"odd": (1, 2)})
        response = site.hydrate("set_value?key=n&value=1", phase, "h" * 32, 12, state, codec="pickle")
        report = fields_of(response)
        assert (report["codec"], report["ver"], report["base"]) == ("pickle", "13", version_tag(12, state))
        assert pickle.loads(report["state"]) == {"odd": (1, 2), "n": 1}
        assert site.call("GET", "sessions/" + "h" * 32).content == report["state"]
        read = fields_of(site.visit("get_value?key=n", phase, "h" * 32, f"want=13-{report['tag']}"))
        assert (read["op"], read["ver"]) == ("touch", "13")


def test_a_json_site_never_reads_a_pickle(memory_site):
    response = memory_site.hydrate("untouched", "stateless", "h" * 32, 1, pickle.dumps({}), codec="pickle")
    assert response.status_code == 415


def test_the_codec_can_be_chosen_by_a_setting():
    with override_settings(UNSTICK_CODEC="pickle"):
        assert json.loads(Site().call("GET", "instance").content)["codec"] == "pickle"
    with override_settings(UNSTICK_CODEC="yaml"), pytest.raises(ImproperlyConfigured, match="yaml"):
        UnstickMiddleware(lambda request: None)


def test_of_several_session_cookies_the_one_that_django_reads_counts(memory_site):
    session_id = memory_site.new(n=1)
    response = memory_site.client.get(
        "/get_value?key=n",
        HTTP_UNSTICK_SESSION=memory_site.proxy.head("mirroring"),
        HTTP_COOKIE=f"sessionid={'x' * 32}; sessionid={session_id}",
    )
    assert response.content == b"1" and fields_of(response)["id"] == session_id


def test_an_expired_session_is_missing(memory_site):
    session_id = memory_site.new(n=1)
    cache = memory_site.store()._cache
    for key in cache._expire_info:
        cache._expire_info[key] = time.time() - 1
    assert fields_of(memory_site.visit("untouched", "externalized", session_id))["op"] == "missing"
    assert lines_of(memory_site.call("GET", "sessions").content) == ([], None)
    assert json.loads(memory_site.call("GET", "instance").content)["sessions"] == 0


def test_other_entries_of_the_cache_are_not_sessions(memory_site):
    memory_site.store()._cache.set("page", {"html": ""})
    assert lines_of(memory_site.call("GET", "sessions").content) == ([], None)
    assert json.loads(memory_site.call("GET", "instance").content)["sessions"] == 0


def test_a_cache_that_may_drop_sessions_is_warned_of(memory_site):
    assert json.loads(memory_site.call("GET", "instance").content)["warning"] is None
    with override_settings(SESSION_CACHE_ALIAS="small"):
        assert "MAX_ENTRIES=300" in json.loads(Site().call("GET", "instance").content)["warning"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"SESSION_ENGINE": BACKENDS + "signed_cookies"}, "signed_cookies"),
        ({"SESSION_ENGINE": "django_site_without_store"}, "django_site_without_store"),
        ({"SESSION_CACHE_ALIAS": "files"}, "FileBasedCache"),
        ({"UNSTICK_SECRET_FILE": None}, "UNSTICK_SECRET_FILE"),
        ({"UNSTICK_SECRET_FILE": __file__ + ".absent"}, "absent"),
    ],
)
def test_a_site_that_unstick_cannot_serve_does_not_start(changes, message, monkeypatch):
    import sys
    import types

    from django.contrib.sessions.backends.base import SessionBase

    monkeypatch.delenv("UNSTICK_SECRET_FILE", raising=False)
    module = types.ModuleType("django_site_without_store")
    module.SessionStore = SessionBase
    monkeypatch.setitem(sys.modules, "django_site_without_store", module)
    with override_settings(**changes), pytest.raises(ImproperlyConfigured, match=message):
        UnstickMiddleware(lambda request: None)


def test_the_session_class_is_extended_once(memory_site):
    before = memory_site.store.save
    UnstickMiddleware(lambda request: None)
    assert memory_site.store.save is before


def test_a_store_outside_a_bridged_request_is_plain(memory_site):
    store = memory_site.store()
    store["n"] = 1
    store.save()
    assert memory_site.stored(store.session_key) == {"n": 1}
    store.delete()
    assert memory_site.stored(store.session_key) == {}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("phase", PHASES)
def test_asynchronous_django_is_served_as_well(engine, phase):
    with override_settings(SESSION_ENGINE=BACKENDS + engine):
        site = Site()
        forget_everything(site)
        session_id = site.new(n=1)
        client = AsyncClient()
        client.cookies["sessionid"] = session_id

        def visit(path, *fields):
            head = site.proxy.head(phase, *fields)
            return client.get("/" + path, headers={"unstick-session": head})

        async def story():
            stale = await visit("async_set?value=2", "want=5-00000000") if phase != "mirroring" else None
            changed = await visit("async_set?value=2", want(1, {"n": 1}))
            read = await visit("get_value?key=n", want(2, {"n": 2}))
            ended = await visit("async_log_out", want(2, {"n": 2}))
            target = V1 + "instance"
            auth = site.proxy.endpoint_auth("GET", target)
            instance = await client.get(target, headers={"unstick-auth": auth})
            return stale, changed, read, ended, instance

        stale, changed, read, ended, instance = asyncio.run(story())
        assert stale is None or fields_of(stale)["op"] == "stale"
        assert (fields_of(changed)["op"], fields_of(changed)["state"]) == ("put", b'{"n":2}')
        assert read.content == b"2" and fields_of(read)["op"] == "touch"
        assert fields_of(ended)["op"] == "destroy" and site.stored(session_id) == {}
        assert instance.status_code == 200
