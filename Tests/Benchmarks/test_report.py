"""The arithmetic of the report: no process is started."""

import json

import pytest

import report
from scenarios import Result


def figures(cpu, p99=1.0, rate=1000.0):
    return {
        "requests": 10, "requestsPerSecond": rate, "megabytesPerSecond": 1.0, "userMicroseconds": cpu / 2,
        "systemMicroseconds": cpu / 2, "cpuMicroseconds": cpu, "p50Milliseconds": p99 / 2, "p99Milliseconds": p99,
        "busy": 0.9, "backendBusy": 0.4}


def small(**rounds):
    peers = {"unstick", "haproxy", "nginx", "envoy", "caddy"} - set(rounds)
    length = len(next(iter(rounds.values())))
    rounds |= {name: [figures(100, p99=100)] * length for name in peers}
    return Result("small", "small GET", rounds, {name: 1024 for name in rounds}, [("unstick", "haproxy")])


def verdict(result, text):
    return next(each for each in report.judged([result]) if each["text"] == text)


def test_a_ratio_compares_within_its_round_and_the_median_is_over_ratios():
    # The machine is slow in the second round, for both: the ratio of the medians would be 0.5.
    result = small(
        unstick=[figures(10), figures(20), figures(10)], haproxy=[figures(10), figures(40), figures(20)])
    assert report.ratios(result.rounds, "unstick", ["haproxy"], "cpuMicroseconds") == [1.0, 0.5, 0.5]
    assert verdict(result, "small GET: CPU against HAProxy")["reached"] == 0.5


@pytest.mark.parametrize(("cpu", "met"), [(9.5, True), (9.6, False)])
def test_a_goal_is_met_up_to_its_limit(cpu, met):
    result = small(unstick=[figures(cpu)], haproxy=[figures(10)])
    assert verdict(result, "small GET: CPU against HAProxy")["met"] is met


def test_p99_is_held_against_the_better_of_two_in_each_round():
    result = small(
        unstick=[figures(1, p99=2), figures(1, p99=2)], haproxy=[figures(1, p99=4), figures(1, p99=1)],
        nginx=[figures(1, p99=2), figures(1, p99=8)])
    found = verdict(result, "small GET: p99 against the better of HAProxy and nginx")
    assert found["reached"] == 1.5
    assert not found["met"]


def test_a_goal_of_a_scenario_that_was_not_measured_is_not_judged():
    assert {each["scenario"] for each in report.judged([small(unstick=[figures(1)])])} == {"small"}


ENVIRONMENT = {
    "rounds": 12, "seconds": 3, "connections": 64, "processor": "a processor", "processors": 2, "kernel": "6.1",
    "loadBefore": 0.0, "loadAfter": 1.0, "versions": {"unstick": "1.0", "haproxy": "2.6"}}


def test_the_text_stays_within_100_columns_and_names_what_is_missing():
    result = small(unstick=[figures(123.456, rate=123456)] * 12)
    text = report.as_text([result], {"tls": "not in this build"}, {"1m": "nginx ended with 1"}, ENVIRONMENT)
    assert max(map(len, text.splitlines())) <= 100
    assert "skipped: tls: not in this build" in text
    assert "FAILED: 1m: nginx ended with 1" in text


def test_the_json_names_its_schema_and_holds_every_round():
    result = small(unstick=[figures(1), figures(2)])
    document = json.loads(json.dumps(report.as_json([result], {}, {}, ENVIRONMENT)))
    assert document["schema"] == "unstick.benchmark.proxy/v2"
    assert [each["cpuMicroseconds"] for each in document["scenarios"][0]["rounds"]["unstick"]] == [1, 2]
