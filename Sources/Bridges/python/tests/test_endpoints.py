import json
import random

import pytest
from kit import NOW, Instance, Proxy, fields_of, lines_of, state_of, version_tag

from unstick_bridge import endpoints
from unstick_bridge.endpoints import raw_target
from unstick_bridge.protocol import STATE_BYTES_MAX


def instance_with(*names):
    instance = Instance()
    for name in names:
        instance.memory.sessions[name] = {"name": name}
    return instance


# Authentication

REQUESTS = [
    ("GET", "instance"),
    ("GET", "sessions"),
    ("GET", "sessions/a"),
    ("PUT", "sessions/a"),
    ("DELETE", "sessions/a"),
    ("GET", "nothing"),
]


@pytest.mark.parametrize("method, resource", REQUESTS)
@pytest.mark.parametrize(
    "auth",
    [
        "",
        "nonsense",
        f"ts={int(NOW)}; sig=AAAA",
        Proxy(secret=b"x" * 32).endpoint_auth("GET", "/.well-known/unstick/v1/instance"),
        Proxy(now=lambda: NOW - 61).endpoint_auth("GET", "/.well-known/unstick/v1/instance"),
    ],
)
def test_every_endpoint_demands_its_signature_and_shows_no_unstick_header_without(method, resource, auth):
    instance = instance_with("a")
    reply = instance.call(method, resource, auth=auth)
    assert reply.status == 401 and reply.headers == []
    assert instance.memory.sessions == {"a": {"name": "a"}}


def test_a_signature_is_for_one_method_and_one_path_only():
    instance = instance_with("a", "b")
    auth = instance.proxy.endpoint_auth("GET", "/.well-known/unstick/v1/sessions/a")
    assert instance.call("GET", "sessions/a", auth=auth).status == 200
    assert instance.call("GET", "sessions/b", auth=auth).status == 401
    assert instance.call("DELETE", "sessions/a", auth=auth).status == 401


def test_a_stranger_cannot_make_us_read_a_body():
    instance = Instance()

    def read(limit):
        raise AssertionError("the body was read")

    request = endpoints.EndpointRequest("PUT", "/.well-known/unstick/v1/sessions/a", None, None, 10, read)
    assert endpoints.answer(instance.bridge, request).status == 401


@pytest.mark.parametrize(
    "method, resource, status",
    [
        ("POST", "instance", 405),
        ("POST", "sessions", 405),
        ("POST", "sessions/a", 405),
        ("GET", "nothing", 404),
        ("GET", "sessions/a/b", 404),
        ("GET", "sessions/", 404),
        ("GET", "", 404),
        ("GET", "sessions/a%0Ab", 404),
    ],
)
def test_what_the_contract_does_not_have_is_404_or_405(method, resource, status):
    assert instance_with("a").call(method, resource).status == status


# instance


def test_instance_describes_the_process():
    instance = instance_with("a", "b")
    instance.memory.warning = lambda: "careful"
    description = json.loads(instance.call("GET", "instance").body)
    assert description["inst"] == "inst-1" and description["framework"] == "fake" and description["sessions"] == 2
    assert description["bridge"].startswith("unstick-bridge/") and description["warning"] == "careful"


# sessions


def test_the_listing_names_version_tag_ttl_size_and_last_access():
    instance = instance_with("a", "b")
    instance.visit("mirroring", "b")
    lines, cursor = instance.listing()
    tag = version_tag(1, {"name": "a"}).partition("-")[2]
    assert lines[0] == {"id": "a", "ver": 1, "tag": tag, "ttl": 1800, "size": 12, "accessed": None}
    assert lines[1]["accessed"] == int(NOW) and cursor is None


def test_the_listing_counts_a_silent_change_as_a_new_version():
    instance = instance_with("a")
    instance.listing()
    instance.memory.sessions["a"] = {"name": "changed"}
    line = instance.listing()[0][0]
    assert f"{line['ver']}-{line['tag']}" == version_tag(2, {"name": "changed"})


@pytest.mark.parametrize("count, limit, pages", [(0, 3, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3), (5, 1, 5)])
def test_a_crawl_sees_every_session_once_in_order(count, limit, pages):
    names = [f"id-{number}" for number in range(count)]
    instance = instance_with(*reversed(names))
    seen, cursor, turns = [], None, 0
    while turns == 0 or cursor:
        lines, cursor = instance.listing(limit, cursor)
        assert len(lines) <= limit
        seen += [line["id"] for line in lines]
        turns += 1
    assert seen == names and turns == pages


@pytest.mark.parametrize("seed", range(20))
def test_no_session_that_lives_during_the_whole_crawl_is_skipped_or_repeated(seed):
    """Between pages any number of other sessions come and go, before and after the cursor, the cursor's own too."""
    chance = random.Random(seed)
    lasting = {f"{chance.randrange(10**6):06}" for _ in range(60)}
    instance = instance_with(*lasting)
    passing, seen, cursor, turns = set(), [], None, 0
    while turns == 0 or cursor:
        for _ in range(chance.randrange(20)):
            name = f"{chance.randrange(10**6):06}"
            if name not in lasting:
                passing.add(name)
                instance.memory.sessions[name] = {"name": name}
        for name in chance.sample(sorted(passing), len(passing) // 2):
            passing.discard(name)
            instance.memory.sessions.pop(name, None)
        if seen and seen[-1] not in lasting:
            instance.memory.sessions.pop(seen[-1], None)
            passing.discard(seen[-1])
        lines, cursor = instance.listing(chance.randrange(1, 8), cursor)
        seen += [line["id"] for line in lines]
        turns += 1
    assert seen == sorted(set(seen))
    assert lasting <= set(seen)


def test_a_page_whose_sessions_vanish_while_it_is_made_still_leads_on():
    instance = instance_with("a", "b", "c")
    ids = instance.memory.ids
    instance.memory.ids = lambda: ids() + ["a0", "a1"]
    lines, cursor = instance.listing(limit=3)
    assert [line["id"] for line in lines] == ["a"] and cursor
    assert [line["id"] for line in instance.listing(3, cursor)[0]] == ["b", "c"]


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "cursor=%2B"])
def test_a_listing_with_nonsense_is_400(query):
    assert instance_with("a").call("GET", f"sessions?{query}").status == 400


def test_a_listing_page_is_bounded(monkeypatch):
    monkeypatch.setattr(endpoints, "PAGE_MAX", 2)
    lines, cursor = lines_of(instance_with("a", "b", "c").call("GET", "sessions?limit=1000000").body)
    assert len(lines) == 2 and cursor


# sessions/ID


def test_export_gives_the_state_and_its_description():
    reply = instance_with("a").call("GET", "sessions/a")
    assert reply.status == 200 and reply.body == b'{"name":"a"}'
    assert fields_of(reply.headers) == {
        "op": "put",
        "id": "a",
        "ver": "1",
        "tag": version_tag(1, {"name": "a"}).partition("-")[2],
        "ttl": "1800",
        "codec": "json",
        "inst": "inst-1",
    }


def test_export_counts_a_silent_change_as_a_new_version():
    instance = instance_with("a")
    instance.call("GET", "sessions/a")
    instance.memory.sessions["a"] = {"name": "changed"}
    assert fields_of(instance.call("GET", "sessions/a").headers)["ver"] == "2"


def test_export_of_what_is_not_there_is_404_missing():
    reply = Instance().call("GET", "sessions/a")
    assert reply.status == 404 and fields_of(reply.headers)["op"] == "missing"


@pytest.mark.parametrize("query, status", [("ver=1", 200), ("ver=2", 404), ("ver=x", 400)])
def test_export_of_a_certain_version_gives_that_one_or_nothing(query, status):
    assert instance_with("a").call("GET", f"sessions/a?{query}").status == status


def test_ids_in_paths_are_percent_encoded():
    instance = instance_with("s:a/b?c%")
    assert instance.call("GET", "sessions/s%3Aa%2Fb%3Fc%25").status == 200


def put(instance, version, attributes, phase=None, name="a", signed_name=None):
    state = state_of(attributes)
    fields = instance.proxy.put_fields(signed_name or name, version_tag(version, state), state)
    header = fields + (f"; phase={phase}" if phase else "")
    return instance.call("PUT", f"sessions/{name}", state, session=header)


def test_put_makes_the_session_and_says_what_memory_holds():
    instance = Instance()
    reply = put(instance, 12, {"n": 1})
    fields = fields_of(reply.headers)
    assert reply.status == 200 and fields["op"] == "put" and fields["inst"] == "inst-1"
    assert f"{fields['ver']}-{fields['tag']}" == version_tag(12, {"n": 1})
    assert instance.memory.sessions == {"a": {"n": 1}}


@pytest.mark.parametrize(
    "phase, version, holds",
    [
        (None, 11, 12),
        (None, 12, 12),
        (None, 13, 13),
        ("mirroring", 11, 12),
        ("externalized", 11, 12),
        ("externalized", 13, 13),
        ("stateless", 11, 11),
        ("stateless", 13, 13),
        ("completed", 11, 11),
    ],
)
def test_put_follows_the_phases_rule_and_without_one_replaces_only_an_older_copy(phase, version, holds):
    instance = Instance()
    put(instance, 12, {"n": "local"})
    reply = put(instance, version, {"n": "store"}, phase)
    assert reply.status == 200 and fields_of(reply.headers)["ver"] == str(holds)
    replaced = holds != 12
    assert instance.memory.sessions["a"] == {"n": "store" if replaced else "local"}


def test_put_of_a_long_state_is_served_by_a_following_want():
    instance = Instance()
    attributes = {"n": "x" * (1 << 20)}
    assert put(instance, 12, attributes).status == 200
    request = instance.begin("stateless", "a", f"want={version_tag(12, attributes)}")
    assert instance.load(request, "a") == attributes


def test_put_with_a_wrong_signature_is_401_and_imports_nothing():
    instance = Instance()
    assert put(instance, 12, {"n": 1}, signed_name="b").status == 401
    assert instance.memory.sessions == {}


@pytest.mark.parametrize(
    "header",
    [None, "codec=json", "put=x; codec=json; ttl=1; sig=x", "put=1-00000000; codec=json; ttl=1; sig=x; phase=warp"],
)
def test_put_without_a_usable_header_is_400(header):
    assert Instance().call("PUT", "sessions/a", b"{}", session=header).status == 400


def test_put_in_a_codec_that_the_application_does_not_take_is_415():
    instance = Instance()
    fields = instance.proxy.put_fields("a", version_tag(1, b"x"), b"x", codec="pickle")
    assert instance.call("PUT", "sessions/a", b"x", session=fields).status == 415
    assert instance.memory.sessions == {}


def test_a_body_over_the_limit_is_413_unread_with_a_message():
    instance = Instance()
    reply = instance.call("PUT", "sessions/a", b"", length=STATE_BYTES_MAX + 1)
    assert reply.status == 413 and str(STATE_BYTES_MAX).encode() in reply.body


def test_a_body_without_a_length_is_413_when_it_passes_the_limit(monkeypatch):
    monkeypatch.setattr(endpoints, "STATE_BYTES_MAX", 10)
    body = b"x" * 11
    target = "/.well-known/unstick/v1/sessions/a"
    rest = [body]
    request = endpoints.EndpointRequest(
        "PUT",
        target,
        Proxy().endpoint_auth("PUT", target, body),
        None,
        None,
        lambda limit: rest.pop()[:limit] if rest else b"",
    )
    assert endpoints.answer(Instance().bridge, request).status == 413


def test_delete_evicts_and_leaves_no_tombstone():
    instance = instance_with("a")
    assert instance.call("DELETE", "sessions/a").status == 200
    assert instance.memory.sessions == {}
    assert instance.call("DELETE", "sessions/a").status == 200
    assert put(instance, 5, {"n": 1}).status == 200 and instance.memory.sessions == {"a": {"n": 1}}


@pytest.mark.parametrize(
    "reported, path, query, target",
    [
        ("/a%2fb?q=1", "/a/b", "q=1", "/a%2fb?q=1"),
        ("http://host:1/a?q", "/a", "q", "/a?q"),
        (None, "/a b", "", "/a%20b"),
        (None, "/a", "q=%2f", "/a?q=%2f"),
        (None, "/\xc3\xa9", "", "/%C3%A9"),
    ],
)
def test_the_signed_target_is_the_request_lines_or_its_canonical_form(reported, path, query, target):
    assert raw_target(reported, path, query) == target
