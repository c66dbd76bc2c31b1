"""What a bridge tells the proxy after the application has run."""

import pytest
from kit import Instance, fields_of, state_of, version_tag

from unstick_bridge.bridge import RequestSession
from unstick_bridge.protocol import STATE_HEADER_BYTES_MAX

ALL = ["mirroring", "externalized", "stateless", "completed"]
EXACT = ["stateless", "completed"]
OWN_COPY = ["externalized", "stateless", "completed"]


def hydrated(version=12, attributes=None):
    instance = Instance()
    instance.begin_put("stateless", "id-1", version, attributes or {"n": 1})
    return instance, f"want={version_tag(version, attributes or {'n': 1})}"


@pytest.mark.parametrize("phase", ALL)
def test_a_change_is_a_put_with_the_next_version_and_its_base(phase):
    instance, want = hydrated()
    changed = {"n": 2}
    tag = version_tag(13, changed)
    assert instance.visit(phase, "id-1", want, change=changed) == {
        "op": "put",
        "id": "id-1",
        "ver": "13",
        "tag": tag.partition("-")[2],
        "base": version_tag(12, {"n": 1}),
        "ttl": "1800",
        "codec": "json",
        "inst": "inst-1",
        "state": state_of(changed),
    }
    assert instance.memory.sessions["id-1"] == changed


@pytest.mark.parametrize("phase", ALL)
def test_a_new_session_is_version_1_without_a_base(phase):
    instance = Instance()
    request = instance.begin(phase, None)
    instance.save(request, "id-1", {"n": 1})
    report = instance.finish(request)
    assert (report["op"], report["id"], report["ver"]) == ("put", "id-1", "1")
    assert "base" not in report and report["state"] == b'{"n":1}'
    assert instance.memory.sessions == {"id-1": {"n": 1}}


@pytest.mark.parametrize("phase", ALL)
@pytest.mark.parametrize("change", [None, {"n": 1}])
def test_reading_or_saving_the_same_is_a_touch(phase, change):
    instance, want = hydrated()
    assert instance.visit(phase, "id-1", want, change=change) == {
        "op": "touch",
        "id": "id-1",
        "ver": "12",
        "tag": version_tag(12, {"n": 1}).partition("-")[2],
        "ttl": "1800",
        "inst": "inst-1",
    }


@pytest.mark.parametrize("phase", OWN_COPY)
def test_saving_the_same_moves_the_expiry_in_memory(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    request.save("id-1", {"n": 1}, 900)
    assert instance.finish(request)["ttl"] == "900"
    assert instance.memory.touched == ("id-1", 900)


@pytest.mark.parametrize("phase", ALL)
def test_no_session_is_none(phase):
    assert Instance().visit(phase, None) == {"op": "none", "inst": "inst-1"}
    assert Instance().visit(phase, "id-1", "absent") == {"op": "none", "inst": "inst-1"}


@pytest.mark.parametrize("phase", ALL)
def test_a_logout_is_destroy_with_the_next_version(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.delete(request, "id-1")
    assert instance.finish(request) == {"op": "destroy", "id": "id-1", "ver": "13", "ttl": "1800", "inst": "inst-1"}
    assert instance.memory.sessions == {}


@pytest.mark.parametrize("phase", ALL)
def test_a_login_that_changes_the_id_is_rotate(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.save(request, "id-2", {})
    instance.delete(request, "id-1")
    instance.save(request, "id-2", {"n": 1, "user": 7})
    report = instance.finish(request)
    assert (report["op"], report["id"], report["old"], report["ver"]) == ("rotate", "id-2", "id-1", "1")
    assert report["base"] == version_tag(12, {"n": 1}) and report["state"] == b'{"n":1,"user":7}'
    assert instance.memory.sessions == {"id-2": {"n": 1, "user": 7}}


@pytest.mark.parametrize("phase", ALL)
def test_another_id_while_the_old_session_lives_is_a_put(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.save(request, "id-2", {"n": 9})
    report = instance.finish(request)
    assert (report["op"], report["id"]) == ("put", "id-2") and "base" not in report and "old" not in report
    assert set(instance.memory.sessions) == {"id-1", "id-2"}


@pytest.mark.parametrize("phase", ALL)
def test_a_fresh_start_after_absent_is_a_put_without_old(phase):
    instance = Instance()
    request = instance.begin(phase, "id-1", "absent")
    instance.save(request, "id-2", {"n": 1})
    report = instance.finish(request)
    assert (report["op"], report["id"]) == ("put", "id-2") and "old" not in report


@pytest.mark.parametrize("phase", ALL)
def test_an_eviction_during_the_request_is_no_logout(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.call("DELETE", "sessions/id-1")
    assert instance.finish(request)["op"] != "destroy"
    assert instance.memory.sessions == {}


@pytest.mark.parametrize("phase", OWN_COPY)
def test_a_save_after_an_eviction_is_reported_but_does_not_come_back_to_memory(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.call("DELETE", "sessions/id-1")
    instance.save(request, "id-1", {"n": 2})
    report = instance.finish(request)
    assert (report["op"], report["ver"], report["base"]) == ("put", "13", version_tag(12, {"n": 1}))
    assert instance.memory.sessions == {}


@pytest.mark.parametrize("phase", ALL)
def test_a_save_under_way_during_a_logout_does_not_bring_the_session_back(phase):
    instance, want = hydrated()
    saving, leaving = instance.begin(phase, "id-1", want), instance.begin(phase, "id-1", want)
    instance.delete(leaving, "id-1")
    assert instance.finish(leaving)["op"] == "destroy"
    instance.save(saving, "id-1", {"n": 2})
    instance.finish(saving)
    assert instance.memory.sessions == {}
    assert instance.listing() == ([], None)


@pytest.mark.parametrize("phase", OWN_COPY)
def test_a_save_of_the_phase_before_does_not_bring_a_session_back_either(phase):
    """Neighbouring phases coexist: one proxy still mirrors while another already takes the store as the authority."""
    instance, want = hydrated()
    saving, leaving = instance.begin("mirroring", "id-1"), instance.begin(phase, "id-1", want)
    instance.delete(leaving, "id-1")
    assert instance.finish(leaving)["op"] == "destroy"
    instance.save(saving, "id-1", {"n": 2})
    assert instance.finish(saving)["op"] == "none"
    assert instance.memory.sessions == {}


@pytest.mark.parametrize("size, inline", [(STATE_HEADER_BYTES_MAX, True), (STATE_HEADER_BYTES_MAX + 1, False)])
def test_states_up_to_4096_bytes_travel_in_the_header(size, inline):
    attributes = {"n": "x" * (size - len('{"n":""}'))}
    instance, want = hydrated()
    report = instance.visit("stateless", "id-1", want, change=attributes)
    assert ("state" in report) is inline
    reply = instance.call("GET", "sessions/id-1?ver=13")
    assert reply.body == state_of(attributes)


@pytest.mark.parametrize("phase", EXACT)
def test_a_reported_version_stays_readable_when_memory_moves_on(phase):
    instance, want = hydrated()
    changed = {"n": "x" * 5000}
    instance.visit(phase, "id-1", want, change=changed)
    instance.begin_put(phase, "id-1", 20, {"n": "other"})
    reply = instance.call("GET", "sessions/id-1?ver=13")
    assert reply.body == state_of(changed)
    assert fields_of(reply.headers)["base"] == version_tag(12, {"n": 1})
    assert instance.call("GET", "sessions/id-1").body == b'{"n":"other"}'
    assert instance.call("GET", "sessions/id-1?ver=19").status == 404


@pytest.mark.parametrize("phase", EXACT)
def test_version_numbers_never_go_back_when_memory_does(phase):
    instance, want = hydrated(version=12)
    instance.begin_put(phase, "id-1", 5, {"n": 1})
    report = instance.visit(phase, "id-1", f"want={version_tag(5, {'n': 1})}", change={"n": 2})
    assert (report["ver"], report["base"]) == ("13", version_tag(5, {"n": 1}))


def test_version_numbers_never_go_back_after_an_eviction():
    instance, _ = hydrated(version=12)
    instance.call("DELETE", "sessions/id-1")
    request = instance.begin_put("externalized", "id-1", 5, {"n": 1})
    instance.save(request, "id-1", {"n": 2})
    assert instance.finish(request)["ver"] == "13"


@pytest.mark.parametrize("phase", EXACT)
def test_each_request_works_on_its_own_copy(phase):
    instance, want = hydrated()
    first = instance.begin(phase, "id-1", want)
    second = instance.begin_put(phase, "id-1", 20, {"n": 100})
    assert instance.load(first, "id-1") == {"n": 1}
    assert instance.load(second, "id-1") == {"n": 100}
    instance.save(first, "id-1", {"n": 2})
    assert instance.load(second, "id-1") == {"n": 100}
    instance.save(second, "id-1", {"n": 101})
    reports = instance.finish(second), instance.finish(first)
    assert [(report["ver"], report["base"], report["state"]) for report in reports] == [
        ("21", version_tag(20, {"n": 100}), b'{"n":101}'),
        ("22", version_tag(12, {"n": 1}), b'{"n":2}'),
    ]


def test_in_externalized_a_save_never_lands_on_a_copy_that_it_did_not_start_from():
    instance, want = hydrated()
    slow = instance.begin("externalized", "id-1", want)
    instance.begin_put("externalized", "id-1", 20, {"n": 100})
    instance.save(slow, "id-1", {"n": 2})
    report = instance.finish(slow)
    assert (report["ver"], report["base"], report["state"]) == ("21", version_tag(12, {"n": 1}), b'{"n":2}')
    assert instance.memory.sessions["id-1"] == {"n": 100}


def test_what_the_application_does_after_its_last_save_is_not_reported():
    instance, want = hydrated(attributes={"cart": ["a"]})
    request = instance.begin("stateless", "id-1", want)
    mine = instance.load(request, "id-1")
    mine["cart"].append("b")
    instance.save(request, "id-1", mine)
    mine["cart"].append("c")
    assert instance.finish(request)["state"] == b'{"cart":["a","b"]}'


@pytest.mark.parametrize("phase", ["mirroring", "externalized"])
def test_a_change_behind_the_frameworks_back_is_a_version_and_is_reported_once(phase):
    instance, want = hydrated()
    instance.memory.sessions["id-1"] = {"n": 50}
    report = instance.visit(phase, "id-1", want)
    assert (report["op"], report["ver"], report["base"], report["state"]) == (
        "put",
        "13",
        version_tag(12, {"n": 1}),
        b'{"n":50}',
    )
    assert instance.visit(phase, "id-1", f"want={version_tag(13, {'n': 50})}")["op"] == "touch"


@pytest.mark.parametrize("phase", ["mirroring", "externalized"])
def test_a_change_behind_the_frameworks_back_during_a_request_is_reported_by_it(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.memory.sessions["id-1"] = {"n": 50}
    assert (instance.finish(request)["op"], instance.memory.sessions["id-1"]) == ("put", {"n": 50})


@pytest.mark.parametrize("phase", EXACT)
def test_a_change_behind_the_frameworks_back_is_stale_where_copies_must_be_exact(phase):
    instance, want = hydrated()
    instance.memory.sessions["id-1"] = {"n": 50}
    refusal = instance.begin(phase, "id-1", want)
    assert fields_of(refusal.headers)["have"] == version_tag(13, {"n": 50})


def test_parallel_saves_in_mirroring_are_numbered_in_the_order_of_memory():
    instance, _ = hydrated()
    first, second = instance.begin("mirroring", "id-1"), instance.begin("mirroring", "id-1")
    instance.save(first, "id-1", {"n": "first"})
    instance.save(second, "id-1", {"n": "second"})
    reports = instance.finish(first), instance.finish(second)
    assert [(report["op"], report["ver"], report["state"]) for report in reports] == [
        ("put", "13", b'{"n":"second"}')
    ] * 2


def test_a_reader_that_saw_an_unreported_change_reports_it_too():
    instance, _ = hydrated()
    writer = instance.begin("mirroring", "id-1")
    instance.save(writer, "id-1", {"n": 2})
    reader = instance.begin("mirroring", "id-1")
    reports = instance.finish(reader), instance.finish(writer)
    assert [(report["op"], report["ver"], report["base"]) for report in reports] == [
        ("put", "13", version_tag(12, {"n": 1}))
    ] * 2


@pytest.mark.parametrize("phase", ALL)
def test_attributes_that_cannot_travel_are_counted_and_their_session_is_not_sent(phase):
    instance, want = hydrated()
    report = instance.visit(phase, "id-1", want, change={"n": 2, "odd": (1, 2)})
    assert (report["op"], report["bad"]) == ("put", "1") and "state" not in report
    reply = instance.call("GET", "sessions/id-1")
    assert reply.status == 422 and b"odd" in reply.body and fields_of(reply.headers)["bad"] == "1"
    assert instance.listing()[0][0]["attributes"] == ["odd"]


def test_a_change_of_what_cannot_travel_is_a_change():
    instance, want = hydrated()
    instance.visit("mirroring", "id-1", change={"odd": (1,)})
    assert instance.visit("mirroring", "id-1", change={"odd": (1, 2)})["ver"] == "14"


def test_a_state_in_the_stores_own_spelling_keeps_its_tag_and_bytes():
    """The store may have merged two JSON states with other white space than ours."""
    spelled = b'{ "n" : 1 }'
    instance = Instance()
    request = instance.begin_put("stateless", "id-1", 12, spelled)
    assert instance.finish(request)["tag"] == version_tag(12, spelled).partition("-")[2]
    assert isinstance(instance.begin("stateless", "id-1", f"want={version_tag(12, spelled)}"), RequestSession)
    reply = instance.call("GET", "sessions/id-1")
    assert reply.body == spelled and fields_of(reply.headers)["ver"] == "12"
    report = instance.visit("stateless", "id-1", f"want={version_tag(12, spelled)}", change={"n": 2})
    assert (report["ver"], report["base"], report["state"]) == ("13", version_tag(12, spelled), b'{"n":2}')
    assert instance.call("GET", "sessions/id-1").body == b'{"n":2}'


@pytest.mark.parametrize("phase", ALL)
def test_a_late_response_settles_when_its_body_ends(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    assert fields_of(instance.bridge.finish_late(request, "id-1")) == {"op": "late", "id": "id-1", "inst": "inst-1"}
    instance.save(request, "id-1", {"n": 2})
    instance.bridge.settle(request, request.end_id)
    reply = instance.call("GET", "sessions/id-1")
    fields = fields_of(reply.headers)
    assert reply.body == b'{"n":2}' and (fields["ver"], fields["base"]) == ("13", version_tag(12, {"n": 1}))


@pytest.mark.parametrize("phase", ALL)
def test_a_late_response_that_ends_the_session_says_so_in_the_head(phase):
    instance, want = hydrated()
    request = instance.begin(phase, "id-1", want)
    instance.delete(request, "id-1")
    assert fields_of(instance.bridge.finish_late(request, None))["op"] == "destroy"


@pytest.mark.parametrize("phase", ALL)
def test_a_late_response_without_a_session_is_none(phase):
    instance = Instance()
    assert fields_of(instance.bridge.finish_late(instance.begin(phase, None), None))["op"] == "none"
    request = instance.begin(phase, "id-1", "absent")
    assert fields_of(instance.bridge.finish_late(request, "id-1"))["op"] == "none"


def test_each_process_start_is_another_incarnation():
    from unstick_bridge.bridge import Bridge

    bridges = [Bridge(Instance().memory, b"x" * 32) for _ in range(2)]
    assert bridges[0].incarnation != bridges[1].incarnation
