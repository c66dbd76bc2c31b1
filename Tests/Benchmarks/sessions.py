"""Sessions of the benchmark's application, and taking a proxy to the phase that is to be measured."""

import http.client
import json
import subprocess
import time

from processes import BenchmarkError

#: Far more than connections, so that no two requests under way share a session.
SESSIONS = 256
#: How often a proxy reports to its coordinator, with some room.
REPORT_SECONDS = 1.5
#: Of one step of the migration.
STEP_SECONDS_MAX = 60

STEPS = {
    "sticky": [],
    "mirroring": [["mirror"]],
    "externalized": [["mirror"], ["externalize"]],
    "stateless": [["mirror"], ["externalize"], ["switch", "--percent", "100"]],
}


def create_sessions(contender):
    """New clients, as the application sees them; returns each one's Cookie header value (session and affinity)."""
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=10)
    cookies = []
    for _ in range(SESSIONS):
        connection.request("GET", "/new")
        answer = connection.getresponse()
        answer.read()
        pairs = [value.split(";")[0] for value in answer.msg.get_all("Set-Cookie", [])]
        if answer.status != 200 or len(pairs) != 2:
            raise BenchmarkError(
                f"{contender.name}: GET /new was answered {answer.status} with {len(pairs)} cookies; "
                "200 with a session and an affinity cookie was expected")
        cookies.append("; ".join(pairs))
    connection.close()
    return cookies


def _run(tools, contender, *words):
    command = [tools.unstick, *words, "--coordinator", f"http://127.0.0.1:{contender.admin_port}"]
    run = subprocess.run(
        command, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=STEP_SECONDS_MAX + 10, check=False)
    if run.returncode != 0:
        raise BenchmarkError(
            f"unstick {' '.join(words)} for {contender.name} ended with {run.returncode}:\n"
            f"{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout


def migrate(contender, tools, phase):
    """Takes a proxy in `sticky` to a phase, through the gates, by the command line."""
    for step in STEPS[phase]:
        _run(tools, contender, *step, "--yes", "--timeout", f"{STEP_SECONDS_MAX}s")


def expect_untroubled(contender, tools, phase, changes):
    """Raises BenchmarkError unless the proxy did what was to be measured: in the phase, every change in the store.

    `changes`: how many were acknowledged to clients.
    """
    if phase == "sticky":
        return
    time.sleep(REPORT_SECONDS)
    status = json.loads(_run(tools, contender, "status", "-o", "json"))
    report = status["proxies"][0]["report"]
    counters = report["counters"]
    troubles = {
        name: counters[name] for name in ("conflicts", "fallbackReads", "mirrorFailures", "proxyErrors")
        if counters[name]}
    if report["dirtySessions"]:
        troubles["dirtySessions"] = report["dirtySessions"]
    if status["phase"] != phase:
        troubles["phase"] = status["phase"]
    if counters["mirrored"] < changes:
        troubles["mirrored"] = f"{counters['mirrored']} of {changes}"
    if troubles:
        words = ", ".join(f"{name} {value}" for name, value in troubles.items())
        raise BenchmarkError(f"{contender.name} had troubles, so the figures mean nothing: {words}")
    _run(tools, contender, "verify", "--timeout", f"{STEP_SECONDS_MAX}s")
