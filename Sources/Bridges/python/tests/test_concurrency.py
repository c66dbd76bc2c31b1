"""Many threads at once. Barriers put them where it matters; nothing sleeps."""

import threading

import pytest
from kit import Instance, version_tag

from unstick_bridge.bridge import RequestSession

THREADS = 16


def at_once(*jobs):
    """Runs the jobs in threads that start together; returns their results, raises their first error."""
    barrier, results, errors = threading.Barrier(len(jobs)), [None] * len(jobs), []

    def run(index, job):
        try:
            barrier.wait()
            results[index] = job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index, job)) for index, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return results


def test_parallel_saves_on_own_copies_get_different_versions_and_the_same_base():
    instance = Instance()
    instance.begin_put("stateless", "id-1", 12, {"n": 0})
    want = f"want={version_tag(12, {'n': 0})}"
    requests = [instance.begin("stateless", "id-1", want) for _ in range(THREADS)]

    def job(number):
        instance.save(requests[number], "id-1", {"n": number + 1})
        return instance.finish(requests[number])

    reports = at_once(*(lambda number=number: job(number) for number in range(THREADS)))
    assert sorted(int(report["ver"]) for report in reports) == list(range(13, 13 + THREADS))
    assert {report["base"] for report in reports} == {version_tag(12, {"n": 0})}
    assert [report["state"] for report in reports] == [b'{"n":%d}' % (number + 1) for number in range(THREADS)]


def test_memory_ends_with_the_highest_version_that_was_reported():
    instance = Instance()
    instance.begin_put("stateless", "id-1", 1, {"n": 0})
    requests = [instance.begin("externalized", "id-1") for _ in range(THREADS)]

    def job(number):
        instance.save(requests[number], "id-1", {"n": number})
        return instance.finish(requests[number])

    reports = at_once(*(lambda number=number: job(number) for number in range(THREADS)))
    newest = max((report for report in reports if report["op"] == "put"), key=lambda report: int(report["ver"]))
    reply = instance.call("GET", "sessions/id-1")
    assert reply.body == newest["state"]


def test_in_mirroring_the_last_version_reported_is_what_memory_holds():
    """Each look and the number it gives are one step; otherwise two looks could be numbered in the wrong order."""
    for _ in range(20):
        instance = Instance()
        instance.memory.sessions["id-1"] = {"n": "start"}
        requests = [instance.begin("mirroring", "id-1") for _ in range(8)]

        def job(number):
            instance.save(requests[number], "id-1", {"n": number})
            return instance.finish(requests[number])

        reports = at_once(*(lambda number=number: job(number) for number in range(8)))
        newest = max(reports, key=lambda report: int(report["ver"]))
        assert instance.call("GET", "sessions/id-1").body == newest["state"]
        states = {}
        for report in reports:
            assert states.setdefault(report["ver"], report["state"]) == report["state"]


@pytest.mark.parametrize("step", ["begin", "finish", "list", "export"])
def test_a_look_and_its_version_are_one_step(step):
    """One thread is held between reading memory and numbering what it read; another must not overtake it."""
    instance = Instance()
    instance.memory.sessions["id-1"] = {"n": 0}
    request = instance.begin("mirroring", "id-1")
    steps = {
        "begin": lambda: instance.begin("mirroring", "id-1"),
        "finish": lambda: instance.finish(request),
        "list": instance.listing,
        "export": lambda: instance.call("GET", "sessions/id-1"),
    }
    inside, go_on = threading.Event(), threading.Event()
    export = instance.memory.export

    def held_export(session_id):
        copy = export(session_id)
        if threading.current_thread().name == "held":
            inside.set()
            assert go_on.wait(10)
        return copy

    instance.memory.export = held_export
    instance.memory.sessions["id-1"] = {"n": 1}
    held = threading.Thread(target=steps[step], name="held")
    held.start()
    assert inside.wait(10)
    instance.memory.sessions["id-1"] = {"n": 2}
    other = threading.Thread(target=instance.listing, name="other")
    other.start()
    # The other thread must be waiting for the lock now; give it every chance to be wrong.
    other.join(timeout=0.2)
    go_on.set()
    held.join(10)
    other.join(10)
    assert str(instance.bridge.ledger.current("id-1").version_tag) == version_tag(3, {"n": 2})


def test_the_application_runs_without_any_lock():
    """A request that never ends must not keep another of the same session from ending."""
    instance = Instance()
    instance.begin_put("stateless", "id-1", 1, {"n": 0})
    want = f"want={version_tag(1, {'n': 0})}"
    endless = instance.begin("stateless", "id-1", want)
    assert isinstance(endless, RequestSession)
    (report,) = at_once(lambda: instance.visit("stateless", "id-1", want, change={"n": 1}))
    assert report["ver"] == "2"


def test_hydrations_saves_evictions_and_listings_together_do_no_harm():
    instance = Instance()
    rounds = 100

    def hydrate():
        for number in range(rounds):
            request = instance.begin_put("stateless", "id-1", number + 1, {"n": number})
            assert request.load("id-1") == {"n": number}
            request.save("id-1", {"n": number, "mine": True}, 60)
            assert instance.finish(request)["state"] == b'{"mine":true,"n":%d}' % number

    def evict():
        for _ in range(rounds):
            instance.call("DELETE", "sessions/id-1")

    def crawl():
        for _ in range(rounds):
            instance.listing()

    at_once(hydrate, hydrate, evict, crawl)
