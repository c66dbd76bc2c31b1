"""Processes of a benchmark: free loopback ports, starting and ending by pid, and the kernel's accounting of each."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 15
STOP_SECONDS_MAX = 10


class BenchmarkError(Exception):
    """Why the figures would mean nothing. Ends the run."""


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cpu_seconds(pid):
    """User and system time of a process so far, of all its threads, the ended ones too (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def memory_kib(pid):
    """Resident and peak resident memory of a process, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        text = file.read()
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text).group(1)) for name in ("VmRSS", "VmHWM"))


def only_child(pid):
    """The worker to which nginx's master hands its work."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if len(children) == 1:
            return int(children[0])
        time.sleep(0.02)
    raise BenchmarkError(f"process {pid} has {len(children)} children; one worker was expected")


@contextlib.contextmanager
def on_processors(numbers):
    """What is started inside runs on these CPUs only (None: wherever the kernel likes).

    A child inherits its parent's CPUs; set from outside later, its first threads would not have them.
    """
    allowed = os.sched_getaffinity(0)
    if numbers:
        os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class Processes:
    """A folder for one set of processes, which ends with them. A context manager."""

    def __init__(self, folder, processors=None):
        self.folder = folder
        #: CPU numbers to run on, by role; without any, the kernel chooses.
        self.processors = processors or {}
        self.running = []
        os.makedirs(folder, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, child in reversed(self.running):
            self._end(child)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        """Writes a file of the folder and returns its path."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def start(self, name, command, ports, role="other", environment=None):
        """Starts a program that listens on `ports`, and waits until it does.

        Raises BenchmarkError, with the end of what it wrote, when it ends or does not listen in time.
        """
        log_path = self.path(f"{name}.log")
        with open(log_path, "ab") as log, on_processors(self.processors.get(role)):
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                    env=os.environ | (environment or {}))
            except OSError as error:
                raise BenchmarkError(f"{name} cannot be started: {error}") from None
        self.running.append((name, child))
        deadline = time.monotonic() + START_SECONDS_MAX
        for port in ports:
            while not self._listens(port):
                if child.poll() is not None:
                    raise BenchmarkError(
                        f"{name} ended with {child.returncode} before it listened on port {port}:\n"
                        f"{self._tail(log_path)}")
                if time.monotonic() > deadline:
                    raise BenchmarkError(
                        f"{name} does not listen on port {port} after {START_SECONDS_MAX} s:\n{self._tail(log_path)}")
                time.sleep(0.02)
        return child.pid

    def stop(self, pid):
        """Ends one of the processes before the others."""
        for entry in self.running:
            if entry[1].pid == pid:
                self._end(entry[1])
                self.running.remove(entry)
                return

    def ended(self):
        """What there is to say of processes that ended by themselves; empty when none did."""
        return "".join(
            f"\n  {name} ended with {child.returncode}:\n{self._tail(self.path(f'{name}.log'))}"
            for name, child in self.running if child.poll() is not None)

    @staticmethod
    def _listens(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return True
        return False

    @staticmethod
    def _tail(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(f"    {line}" for line in file.readlines()[-12:])

    @staticmethod
    def _end(child):
        if child.poll() is not None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
