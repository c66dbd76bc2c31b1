"""The scenarios: which load, which contenders, and what is compared with what."""

import dataclasses
import http.client
import os
import re
import subprocess

import idle
from backends import start_nginx_backend, start_session_backend
from measure import CIPHER_SUITE, Load, compare, in_turn
from peers import STARTERS, Certificate, start_unstick
from processes import BenchmarkError, Processes, memory_kib
from sessions import create_sessions, expect_untroubled, migrate

PEERS = [name for name in STARTERS if name != "unstick"]


class Skipped(Exception):
    """Why a scenario cannot be measured with this build. Not a failure."""


@dataclasses.dataclass
class Result:
    """Figures of one scenario."""

    name: str
    title: str
    #: Figures of every round by contender, in the order of the table.
    rounds: dict
    #: Highest resident memory by contender, in KiB.
    peak_kib: dict
    #: Pairs (subject, reference) whose ratios are shown.
    pairs: list
    notes: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    #: What `measure` takes besides the surroundings.
    load: Load = dataclasses.field(default_factory=Load)
    #: Phases of Unstick with their stores, instead of the peers.
    phases: tuple = ()
    backend: str = "nginx"
    tls: bool = False
    idle: bool = False

    def measure(self, tools, settings, folder):
        with Processes(folder, settings.processors) as processes:
            way = _measure_phases if self.phases else _measure_idle if self.idle else _measure_peers
            try:
                return way(self, tools, settings, processes)
            except (BenchmarkError, OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
                # A process that crashed is the better explanation.
                raise BenchmarkError(f"{error}{processes.ended()}") from error


SCENARIOS = [
    Scenario("small", "small GET, sticky"),
    Scenario("16k", "16 KiB responses, sticky", Load(path="/16k")),
    Scenario("1m", "1 MiB responses, sticky", Load(path="/1m")),
    # nginx answers before it has read a body that it does not need; this backend reads it whole.
    Scenario(
        "upload", "64 KiB uploads, sticky", Load(path="/upload", method="POST", body_bytes=64 << 10),
        backend="session"),
    Scenario("connect", "small GET, a new connection for each request, sticky", Load(closes=True)),
    Scenario("tls", "small GET over TLS 1.3 (ECDSA P-256, AES-128-GCM), sticky", tls=True),
    Scenario("idle", f"{idle.CONNECTIONS} idle connections, sticky", idle=True),
    Scenario(
        "mirror", "1 KiB session change on every request", Load(path="/change"),
        phases=(("sticky", "memory"), ("mirroring", "memory"), ("mirroring", "sqlite"))),
    Scenario(
        "read", "session read without a change", Load(path="/read"),
        phases=(
            ("sticky", "memory"), ("externalized", "memory"), ("externalized", "sqlite"), ("stateless", "memory"),
            ("stateless", "sqlite"))),
]


def _start_backend(scenario, processes, tools):
    if scenario.backend == "session":
        return start_session_backend(processes, tools)
    return start_nginx_backend(processes)


def _measure_peers(scenario, tools, settings, processes):
    certificate = _make_certificate(processes) if scenario.tls else None
    if certificate:
        _expect_tls(tools, processes, certificate)
    backend = _start_backend(scenario, processes, tools)
    contenders = []
    notes = []
    for name, start in STARTERS.items():
        settings.progress(f"  starting {name}")
        contender = start(processes, tools, backend.ports, certificate)
        contender.backend_pid = backend.pid
        contenders.append(contender)
    if scenario.tls:
        for each in contenders:
            _expect_suite(each)
        notes.append(f"All negotiated TLS 1.3 with {CIPHER_SUITE} and the same certificate.")
    rounds = compare(contenders, lambda _: scenario.load, settings, processes)
    return Result(
        scenario.name, scenario.title, rounds, {each.name: memory_kib(each.pid)[1] for each in contenders},
        [("unstick", peer) for peer in PEERS], notes)


def _measure_phases(scenario, tools, settings, processes):
    """Every contender is an Unstick of its own with a backend of its own: phases cannot share sessions."""
    contenders, loads, phases = [], {}, {}
    for phase, store in scenario.phases:
        name = phase if phase == "sticky" else f"{phase}-{store}"
        settings.progress(f"  starting {name}")
        backend = start_session_backend(processes, tools, f"backend-{name}")
        contender = start_unstick(
            processes, tools, backend.ports, name=name, secret=backend.secret,
            store="memory:" if store == "memory" else "sqlite:unstick.db")
        contender.backend_pid = backend.pid
        # The backend fails requests that come in another phase.
        loads[name] = dataclasses.replace(
            scenario.load, path=f"{scenario.load.path}?phase={phase}", cookies=create_sessions(contender))
        migrate(contender, tools, phase)
        contenders.append(contender)
        phases[name] = phase
    rounds = compare(contenders, lambda each: loads[each.name], settings, processes)
    peaks = {each.name: memory_kib(each.pid)[1] for each in contenders}
    for contender in contenders:
        driven = sum(each["requests"] for each in rounds[contender.name])
        expect_untroubled(
            contender, tools, phases[contender.name], changes=driven if scenario.load.path == "/change" else 0)
    return Result(
        scenario.name, scenario.title, rounds, peaks,
        [(each.name, "sticky") for each in contenders if each.name != "sticky"])


def _measure_idle(scenario, tools, settings, processes):
    """Each round has fresh processes: memory that the round before left behind would hide what this one takes."""
    idle.allow_open_files()
    backend = start_nginx_backend(processes)
    rounds = {name: [] for name in STARTERS}
    for number, name in in_turn(list(STARTERS), settings.rounds):
        settings.progress(f"  round {number + 1} of {settings.rounds}: {name}")
        contender = STARTERS[name](processes, tools, backend.ports)
        contender.backend_pid = backend.pid
        rounds[name].append(idle.measure_idle(contender, processes))
        processes.stop(contender.main_pid)
    peaks = {name: max(each["peakKiB"] for each in entries) for name, entries in rounds.items()}
    return Result(scenario.name, scenario.title, rounds, peaks, [("unstick", peer) for peer in PEERS])


def _make_certificate(processes):
    certificate, key, both = (processes.path(name) for name in ("site.crt", "site.key", "site.pem"))
    run = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
         "-out", certificate], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise BenchmarkError(f"openssl made no certificate: {run.stderr[-300:]}")
    with open(certificate, encoding="ascii") as first, open(key, encoding="ascii") as second:
        processes.write("site.pem", first.read() + second.read(), 0o600)
    return Certificate(certificate, key, both)


def _expect_tls(tools, processes, certificate):
    """Asks the program itself whether it knows the key `tls`."""
    processes.write("bridge.key", os.urandom(32).hex(), 0o600)
    config = processes.write("tls.yaml", f"""instances: [{{ name: s1, url: "http://127.0.0.1:1" }}]
tls: {{ listen: '127.0.0.1:2', certificates: [{{ cert: '{certificate.certificate}', key: '{certificate.key}' }}] }}
""")
    run = subprocess.run([tools.unstick, "check", config], text=True, capture_output=True, check=False)
    if run.returncode == 0:
        return
    words = " ".join((run.stdout + run.stderr).replace(f"{config}:", "").split())
    if "unknown key" in words or "not available" in words:
        raise Skipped(f"this build of unstick does not know the configuration key 'tls': {words[:120]} …")
    raise BenchmarkError(f"unstick check refuses the configuration with 'tls': {words}")


def _expect_suite(contender):
    """The load generator offers one suite; a proxy that made something else of it would be measured unfairly."""
    run = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{contender.port}", "-ciphersuites", CIPHER_SUITE,
         "-alpn", "http/1.1"],
        stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=10, check=False)
    found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", run.stdout)
    if found is None or found.groups() != ("TLSv1.3", CIPHER_SUITE):
        raise BenchmarkError(f"{contender.name} does not speak TLSv1.3 with {CIPHER_SUITE}: {run.stderr[-200:]}")
