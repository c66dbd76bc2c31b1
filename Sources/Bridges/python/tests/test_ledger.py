import pytest
from kit import FakeMemory, Instance, version_tag

from unstick_bridge.ledger import Ledger, RecentReports, Report
from unstick_bridge.protocol import VersionTag


def report(version, size):
    return Report(VersionTag(version, "00000000"), b"x" * size, "json", 60)


def test_recent_reports_are_bounded_by_bytes_the_least_recently_used_first():
    recent = RecentReports(bytes_max=100)
    recent.add("a", report(1, 40))
    recent.add("b", report(1, 40))
    assert recent.get("a", 1) is not None
    recent.add("c", report(1, 40))
    assert [recent.get(name, 1) is not None for name in "abc"] == [True, False, True]


def test_recent_reports_are_bounded_by_number():
    recent = RecentReports(count_max=2)
    for version in (1, 2, 3):
        recent.add("a", report(version, 1))
    assert [recent.get("a", version) is not None for version in (1, 2, 3)] == [False, True, True]


def test_the_newest_report_stays_however_long_it_is():
    recent = RecentReports(bytes_max=100)
    recent.add("a", report(1, 10))
    recent.add("a", report(2, 1000))
    assert recent.get("a", 1) is None and recent.get("a", 2) is not None


def test_a_version_reported_twice_counts_once():
    recent = RecentReports(bytes_max=100)
    for _ in range(5):
        recent.add("a", report(1, 40))
    recent.add("b", report(1, 40))
    assert recent.get("a", 1) is not None and recent.get("b", 1) is not None


def test_an_unknown_session_is_version_1_and_a_silent_change_is_the_next():
    memory = FakeMemory()
    ledger = Ledger(memory)
    memory.sessions["id-1"] = {"n": 1}
    assert str(ledger.look("id-1")[0].version_tag) == version_tag(1, {"n": 1})
    assert str(ledger.look("id-1")[0].version_tag) == version_tag(1, {"n": 1})
    memory.sessions["id-1"] = {"n": 2}
    assert str(ledger.look("id-1")[0].version_tag) == version_tag(2, {"n": 2})


def test_retired_version_numbers_are_bounded():
    memory = FakeMemory()
    ledger = Ledger(memory, retired_max=2)
    for name in "abc":
        memory.sessions[name] = {}
        ledger.look(name)
        ledger.evict(name)
    assert [ledger.highest(name) for name in "abc"] == [0, 1, 1]


def test_a_sweep_drops_what_expired_unseen():
    memory = FakeMemory()
    ledger = Ledger(memory)
    for name in "ab":
        memory.sessions[name] = {}
        ledger.look(name)
    del memory.sessions["a"]
    ledger.sweep()
    assert ledger.current("a") is None and ledger.highest("a") == 1
    assert ledger.current("b") is not None


def test_the_sweep_comes_by_itself_when_the_table_grows():
    memory = FakeMemory()
    ledger = Ledger(memory)
    ledger._sweep_at = 4
    for number in range(20):
        memory.sessions = {str(number): {}}
        ledger.look(str(number))
    assert sum(ledger.current(str(number)) is not None for number in range(20)) < 10_000
    assert ledger.current("0") is None and ledger.highest("0") == 1


@pytest.mark.parametrize("phase, trusted", [("externalized", True), ("stateless", False)])
def test_only_a_save_under_the_stores_authority_by_version_is_confirmed_at_once(phase, trusted):
    instance = Instance()
    instance.begin_put("stateless", "id-1", 1, {"n": 1})
    instance.visit(phase, "id-1", f"want={version_tag(1, {'n': 1})}", change={"n": 2})
    assert instance.bridge.ledger.current("id-1").confirmed is trusted
