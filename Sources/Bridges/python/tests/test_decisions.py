"""What a bridge does with the session id that a client presents."""

import pytest
from kit import NOW, Instance, Proxy, answer_of, fields_of, state_of, version_tag

from unstick_bridge.bridge import RequestSession
from unstick_bridge.protocol import STATE_HEADER, VersionTag

HERE = {"n": 5}
#: Memory holds the session at version 5 with the state HERE.
LOCAL = version_tag(5, HERE)
SERVE, MISSING, STALE = "serve", (409, "missing"), (409, "stale")


def instance_with_local_copy():
    instance = Instance()
    assert isinstance(instance.begin_put("stateless", "id-1", 5, HERE), RequestSession)
    return instance


def outcome(begun):
    return SERVE if isinstance(begun, RequestSession) else answer_of(begun)


@pytest.mark.parametrize(
    "phase, fields, expected",
    [
        ("mirroring", [], SERVE),
        ("mirroring", ["want=9-00000000"], SERVE),
        ("mirroring", ["absent"], SERVE),
        ("externalized", [], SERVE),
        ("externalized", [f"want={LOCAL}"], SERVE),
        ("externalized", [f"want={version_tag(4, {})}"], SERVE),
        ("externalized", [f"want={version_tag(6, HERE)}"], STALE),
        ("externalized", [f"want={version_tag(5, {'n': 6})}"], STALE),
        ("externalized", ["absent"], SERVE),
        ("stateless", [f"want={LOCAL}"], SERVE),
        ("stateless", [f"want={version_tag(4, {})}"], STALE),
        ("stateless", [f"want={version_tag(6, HERE)}"], STALE),
        ("stateless", [f"want={version_tag(5, {'n': 6})}"], STALE),
        ("stateless", [], STALE),
        ("stateless", ["absent"], SERVE),
        ("completed", [f"want={LOCAL}"], SERVE),
        ("completed", [f"want={version_tag(4, {})}"], STALE),
        ("completed", [f"want={version_tag(5, {'n': 6})}"], STALE),
        ("completed", ["absent"], SERVE),
    ],
)
def test_a_session_in_memory_is_served_or_stale(phase, fields, expected):
    assert outcome(instance_with_local_copy().begin(phase, "id-1", *fields)) == expected


def test_a_newer_copy_is_stale_when_it_went_through_another_state_of_the_wanted_number():
    # Memory's version 6 was never acknowledged; another instance made the 6 that the store has.
    instance = instance_with_local_copy()
    for n in (6, 7):
        instance.visit("externalized", "id-1", f"want={LOCAL}", change={"n": n})
    assert outcome(instance.begin("externalized", "id-1", f"want={version_tag(6, {'n': 6})}")) == SERVE
    assert outcome(instance.begin("externalized", "id-1", f"want={version_tag(6, {'n': 60})}")) == STALE
    assert isinstance(instance.begin_put("externalized", "id-1", 6, {"n": 60}), RequestSession)
    assert instance.bridge.ledger.current("id-1").version_tag == VersionTag.parse(version_tag(6, {"n": 60}))


@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless", "completed"])
@pytest.mark.parametrize("fields, expected", [([], MISSING), (["want=3-00000000"], MISSING), (["absent"], SERVE)])
def test_a_session_that_is_not_in_memory_is_missing_unless_absent_came_with_it(phase, fields, expected):
    assert outcome(Instance().begin(phase, "id-1", *fields)) == expected


def test_missing_and_stale_name_the_session_the_incarnation_and_the_version_at_hand():
    missing = Instance().begin("externalized", "id-1")
    assert fields_of(missing.headers) == {"op": "missing", "id": "id-1", "inst": "inst-1"}
    stale = instance_with_local_copy().begin("stateless", "id-1", "want=9-00000000")
    assert fields_of(stale.headers) == {"op": "stale", "id": "id-1", "have": LOCAL, "inst": "inst-1"}


@pytest.mark.parametrize(
    "phase, evicted", [("mirroring", False), ("externalized", True), ("stateless", True), ("completed", True)]
)
def test_absent_evicts_the_local_copy_where_the_store_is_the_authority(phase, evicted):
    instance = instance_with_local_copy()
    request = instance.begin(phase, "id-1", "absent")
    assert ("id-1" not in instance.memory.sessions) is evicted
    assert instance.load(request, "id-1") == (None if evicted else HERE)


@pytest.mark.parametrize(
    "phase, version, replaced",
    [
        ("mirroring", 4, False),
        ("mirroring", 5, False),
        ("mirroring", 6, True),
        ("externalized", 4, False),
        ("externalized", 5, True),
        ("externalized", 6, True),
        ("stateless", 4, True),
        ("stateless", 5, True),
        ("stateless", 6, True),
        ("completed", 4, True),
        ("completed", 6, True),
    ],
)
def test_put_replaces_an_older_copy_and_in_the_exact_phases_any_other(phase, version, replaced):
    instance = instance_with_local_copy()
    put = {"n": "from the store"}
    request = instance.begin_put(phase, "id-1", version, put)
    assert instance.memory.sessions["id-1"] == (put if replaced else HERE)
    assert instance.load(request, "id-1") == (put if replaced else HERE)


def test_put_of_the_very_copy_in_memory_leaves_it_alone():
    instance = instance_with_local_copy()
    same = instance.memory.sessions["id-1"]
    assert isinstance(instance.begin_put("stateless", "id-1", 5, HERE), RequestSession)
    assert instance.memory.sessions["id-1"] is same


@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless", "completed"])
def test_put_makes_a_session_that_is_not_in_memory(phase):
    instance = Instance()
    request = instance.begin_put(phase, "id-1", 12, HERE)
    assert instance.memory.sessions == {"id-1": HERE}
    assert instance.finish(request)["ver"] == "12"


def test_a_wrong_signature_is_401_and_imports_nothing():
    instance = Instance()
    header, state = instance.proxy.put("stateless", "id-1", 3, state_of(HERE))
    refusal = instance.bridge.begin(header, state, "id-2")
    assert answer_of(refusal) == (401, None)
    forged = Proxy(secret=b"x" * 32).put_fields("id-1", version_tag(3, HERE), state_of(HERE))
    refusal = instance.bridge.begin(instance.proxy.head("stateless", forged), state, "id-1")
    assert answer_of(refusal) == (401, None)
    assert instance.memory.sessions == {}


def test_put_without_a_state_is_400():
    instance = Instance()
    header, _ = instance.proxy.put("stateless", "id-1", 3, state_of(HERE))
    refusal = instance.bridge.begin(header, None, "id-1")
    assert answer_of(refusal) == (400, None) and STATE_HEADER in refusal.text


@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless"])
def test_without_valid_auth_the_bridge_is_inert(phase):
    instance = instance_with_local_copy()
    for head in (None, "", f"v=1; phase={phase}", Proxy(secret=b"x" * 32).head(phase, "absent")):
        assert instance.bridge.begin(head, None, "id-1") is None
    late = Proxy(now=lambda: NOW - 61).head(phase, "absent")
    assert instance.bridge.begin(late, None, "id-1") is None
    assert instance.memory.sessions == {"id-1": HERE}


def test_in_sticky_no_request_serializes_anything():
    instance = Instance()
    instance.memory.sessions["id-1"] = HERE
    instance.memory.export = None
    assert instance.begin("sticky", "id-1") is None


@pytest.mark.parametrize("phase", ["mirroring", "externalized", "stateless", "completed"])
def test_a_client_without_a_session_id_is_served(phase):
    request = Instance().begin(phase, None)
    assert isinstance(request, RequestSession) and request.id is None


def test_an_id_that_no_framework_issues_starts_fresh():
    assert Instance().begin("stateless", "a\nb").id is None


def test_a_newer_copy_that_only_this_instance_proposed_does_not_pass_for_the_stores():
    """Its save may have lost against another instance's; trusting it after a rollback would serve a lost write."""
    instance = instance_with_local_copy()
    instance.visit("stateless", "id-1", f"want={LOCAL}", change={"n": "lost the race"})
    winner = {"n": "won the race"}
    assert outcome(instance.begin("externalized", "id-1", f"want={version_tag(6, winner)}")) == STALE
    request = instance.begin_put("externalized", "id-1", 6, winner)
    assert instance.load(request, "id-1") == winner


def test_a_proposed_copy_that_the_proxy_wants_by_name_is_the_stores():
    instance = instance_with_local_copy()
    proposed = {"n": 6}
    instance.visit("stateless", "id-1", f"want={LOCAL}", change=proposed)
    assert outcome(instance.begin("externalized", "id-1", f"want={version_tag(5, HERE)}")) == STALE
    assert outcome(instance.begin("stateless", "id-1", f"want={version_tag(6, proposed)}")) == SERVE
    assert outcome(instance.begin("externalized", "id-1", f"want={version_tag(5, HERE)}")) == SERVE


def test_a_proposed_copy_that_mirroring_served_is_an_authority():
    instance = instance_with_local_copy()
    instance.visit("stateless", "id-1", f"want={LOCAL}", change={"n": 6})
    assert outcome(instance.begin("mirroring", "id-1")) == SERVE
    assert outcome(instance.begin("externalized", "id-1", f"want={LOCAL}")) == SERVE
