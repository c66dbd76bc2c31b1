"""Sessions of the benchmark's application, and taking a proxy to the phase that is to be measured."""

import http.client
import subprocess

from processes import BenchmarkError

#: Far more than connections, so that no two requests under way share a session.
SESSIONS = 256
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


def migrate(contender, tools, phase):
    """Takes a proxy in `sticky` to a phase, through the gates, by the command line."""
    for step in STEPS[phase]:
        command = [
            tools.unstick, *step, "--yes", "--timeout", f"{STEP_SECONDS_MAX}s", "--coordinator",
            f"http://127.0.0.1:{contender.admin_port}"]
        run = subprocess.run(
            command, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=STEP_SECONDS_MAX + 10,
            check=False)
        if run.returncode != 0:
            raise BenchmarkError(
                f"unstick {' '.join(step)} ended with {run.returncode} before {contender.name} was measured:\n"
                f"{run.stdout[-2000:]}{run.stderr[-2000:]}")
