"""Measurements: one drive of one proxy by wrk, and rounds over several proxies in turn."""

import dataclasses
import json
import os
import subprocess

from peers import system_program
from processes import BenchmarkError, cpu_seconds, on_processors

CONNECTIONS = 64
CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk.lua")
#: A client's patience with one answer, in seconds; a longer wait counts as a failure.
ANSWER_SECONDS_MAX = 10


@dataclasses.dataclass
class Load:
    """What wrk sends."""

    path: str = "/"
    method: str = "GET"
    body_bytes: int = 0
    #: A new connection for each request.
    closes: bool = False
    #: Values of the Cookie header, taken in turn; without any, the contender's affinity cookie.
    cookies: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Settings:
    rounds: int
    seconds: int
    #: CPU numbers by role (`proxy`, `load`), or empty.
    processors: dict
    #: Says on standard error what is being done.
    progress: object


def drive(contender, load, seconds, processes):
    """Drives a proxy and returns the figures; raises BenchmarkError when any answer failed."""
    cookies = processes.write(
        f"cookies-{contender.name}", "".join(f"{each}\n" for each in load.cookies or [contender.cookie or "none=1"]))
    # The same cipher suite for all: some proxies cannot be told which they shall prefer, but the client can.
    openssl = processes.write(
        "openssl.cnf", "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = client\n"
        f"[client]\nCiphersuites = {CIPHER_SUITE}\n")
    command = [
        system_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"--timeout={ANSWER_SECONDS_MAX}s",
        "-s", SCRIPT, f"{contender.scheme}://127.0.0.1:{contender.port}{load.path}",
        "--", load.method, str(load.body_bytes), "close" if load.closes else "keep", cookies]
    before, backend_before = cpu_seconds(contender.pid), cpu_seconds(contender.backend_pid)
    with on_processors(processes.processors.get("load")):
        run = subprocess.run(
            command, text=True, capture_output=True, timeout=seconds + 3 * ANSWER_SECONDS_MAX, check=False,
            env={"OPENSSL_CONF": openssl, "PATH": "/usr/bin:/bin"})
    after, backend_after = cpu_seconds(contender.pid), cpu_seconds(contender.backend_pid)
    figures = next(
        (json.loads(line[4:]) for line in run.stdout.splitlines() if line.startswith("WRK ")), None)
    if run.returncode != 0 or figures is None:
        raise BenchmarkError(f"wrk against {contender.name} ended with {run.returncode}: {run.stderr[-300:]}")
    failures = {
        name: figures[name] for name in ("status", "connect", "read", "write", "timeout") if figures[name]}
    if failures or figures["requests"] == 0:
        text = ", ".join(f"{count} by {name}" for name, count in failures.items()) or "no answer at all"
        raise BenchmarkError(
            f"{contender.name}: of {figures['requests']} requests some failed ({text}); the figures mean nothing")
    requests, elapsed = figures["requests"], figures["microseconds"] / 1e6
    user, system = (end - begin for begin, end in zip(before, after))
    return {
        "requests": requests,
        "requestsPerSecond": requests / elapsed,
        "megabytesPerSecond": figures["bytes"] / elapsed / 1e6,
        "userMicroseconds": user / requests * 1e6,
        "systemMicroseconds": system / requests * 1e6,
        "cpuMicroseconds": (user + system) / requests * 1e6,
        "p50Milliseconds": figures["p50"] / 1000,
        "p99Milliseconds": figures["p99"] / 1000,
        # Near 1 the process is the bottleneck; for the backend that would limit all proxies alike.
        "busy": (user + system) / elapsed,
        "backendBusy": (sum(backend_after) - sum(backend_before)) / elapsed,
    }


def in_turn(names, rounds):
    """Yields (round, name); another one begins each round, so that none always follows the same one."""
    for number in range(rounds):
        offset = number % len(names)
        for name in names[offset:] + names[:offset]:
            yield number, name


def compare(contenders, load_of, settings, processes):
    """Figures of every round by contender. `load_of` gives a contender's load."""
    by_name = {each.name: each for each in contenders}
    for contender in contenders:
        settings.progress(f"  warming up {contender.name}")
        drive(contender, load_of(contender), 1, processes)
    rounds = {name: [] for name in by_name}
    for number, name in in_turn(list(by_name), settings.rounds):
        settings.progress(f"  round {number + 1} of {settings.rounds}: {name}")
        rounds[name].append(drive(by_name[name], load_of(by_name[name]), settings.seconds, processes))
    return rounds
