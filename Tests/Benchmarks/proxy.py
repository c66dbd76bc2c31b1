"""CPU time per request of Unstick, HAProxy and nginx on the same load; see run.sh.

User and system time come from the process's own accounting (/proc/PID/stat), so what else the machine does matters
little. Everything listens on free loopback ports and is ended by its pid.
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
BODY = "a small answer, as an API would give\\n"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode} before it listened on port {port}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen on port {port} after 10 s")


class Site:
    """Two backends (one nginx worker) and the three proxies before them."""

    def __init__(self, folder, unstick):
        self.folder = folder
        self.children = []
        self.one, self.two, self.nginx, self.haproxy, self.unstick, self.admin = free_ports(6)
        self.binary = unstick

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def start(self, port, *command):
        log = open(os.path.join(self.folder, "log"), "ab")
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.children.append(child)
        wait_for(port, child)
        return child

    def worker(self, master):
        """nginx's master hands its work to one worker."""
        return int(subprocess.check_output(["pgrep", "-P", str(master.pid)], text=True).split()[0])

    def __enter__(self):
        events = "worker_processes 1; daemon off; error_log stderr crit;\nevents { worker_connections 4096; }\n"
        paths = "".join(
            f"{kind}_temp_path {self.folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        backend = self.write("backend.conf", f"""{events}pid {self.folder}/backend.pid;
http {{ access_log off; keepalive_requests 1000000000; {paths}
  server {{ listen 127.0.0.1:{self.one}; listen 127.0.0.1:{self.two}; location / {{ return 200 "{BODY}"; }} }} }}""")
        front = self.write("front.conf", f"""{events}pid {self.folder}/front.pid;
http {{ access_log off; keepalive_requests 1000000000; {paths}
  upstream app {{ hash $cookie_srv consistent; server 127.0.0.1:{self.one}; server 127.0.0.1:{self.two};
    keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{self.nginx}; location / {{ proxy_pass http://app; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}""")
        haproxy = self.write("haproxy.cfg", f"""global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend site
  bind 127.0.0.1:{self.haproxy}
  default_backend app
backend app
  balance roundrobin
  cookie SERVERID insert indirect nocache
  server s1 127.0.0.1:{self.one} cookie s1
  server s2 127.0.0.1:{self.two} cookie s2
""")
        self.write("bridge.key", secrets.token_hex(32), 0o600)
        config = self.write("unstick.yaml", f"""listen: 127.0.0.1:{self.unstick}
admin: 127.0.0.1:{self.admin}
instances:
  - {{ name: s1, url: "http://127.0.0.1:{self.one}" }}
  - {{ name: s2, url: "http://127.0.0.1:{self.two}" }}
health: {{ path: / }}
proxy: {{ threads: 1 }}
""")
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.start(self.one, nginx, "-p", self.folder, "-c", backend)
        master = self.start(self.nginx, nginx, "-p", self.folder, "-c", front)
        balancer = self.start(self.haproxy, shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", haproxy)
        ours = self.start(self.unstick, self.binary, "up", "--config", config)
        self.peers = {
            "unstick": (self.unstick, ours.pid, self.cookie(self.unstick)),
            "haproxy": (self.haproxy, balancer.pid, self.cookie(self.haproxy)),
            "nginx": (self.nginx, self.worker(master), "srv=1"),
        }
        return self

    def cookie(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return (answer.headers["Set-Cookie"] or "none=1").split(";")[0]

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def measure(port, pid, cookie, seconds):
    before = cpu_seconds(pid)
    output = subprocess.check_output(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Cookie: {cookie}",
         f"http://127.0.0.1:{port}/"], text=True, timeout=seconds + 30)
    after = cpu_seconds(pid)
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    quantiles = {
        name: float(value) * units[unit]
        for name, value, unit in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", output, re.M)}
    return {
        "requests": requests,
        "failed": int(failed.group(1)) if failed else 0,
        "requestsPerSecond": requests / seconds,
        "userMicroseconds": (after[0] - before[0]) / requests * 1e6,
        "cpuMicroseconds": (sum(after) - sum(before)) / requests * 1e6,
        "p50Milliseconds": quantiles.get("50"),
        "p99Milliseconds": quantiles.get("99"),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unstick", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unstick-benchmark-") as folder, Site(folder, options.unstick) as site:
        rounds = {name: [] for name in site.peers}
        for port, pid, cookie in site.peers.values():
            measure(port, pid, cookie, 1)
        for number in range(options.rounds):
            # Another one begins each round, so that none always follows the same one.
            names = list(site.peers)
            for name in names[number % 3:] + names[:number % 3]:
                rounds[name].append(measure(*site.peers[name], options.seconds))
        peak = {name: peak_kib(pid) for name, (_, pid, _) in site.peers.items()}
    summary = {
        name: {key: statistics.median(entry[key] for entry in entries) for key in entries[0]} | {"peakKiB": peak[name]}
        for name, entries in rounds.items()}
    ratios = {
        peer: statistics.median(
            ours["cpuMicroseconds"] / theirs["cpuMicroseconds"]
            for ours, theirs in zip(rounds["unstick"], rounds[peer]))
        for peer in ("haproxy", "nginx")}
    if options.output == "json":
        print(json.dumps({
            "schema": "unstick.benchmark.proxy/v1", "scenario": "small GET, sticky", "connections": CONNECTIONS,
            "rounds": rounds, "median": summary, "cpuRatio": ratios}))
        return
    print(f"small GET in sticky, {CONNECTIONS} keep-alive connections, medians of {options.rounds} rounds\n")
    print(f"{'':10}{'CPU µs/req':>12}{'user':>8}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'peak MiB':>10}")
    for name, row in summary.items():
        print(f"{name:10}{row['cpuMicroseconds']:12.2f}{row['userMicroseconds']:8.2f}{row['requestsPerSecond']:10.0f}"
              f"{row['p50Milliseconds']:9.2f}{row['p99Milliseconds']:9.2f}{row['peakKiB'] / 1024:10.1f}")
    print(f"\nCPU per request against HAProxy {ratios['haproxy']:.2f}×, against nginx {ratios['nginx']:.2f}×")
    if any(entry["failed"] for entries in rounds.values() for entry in entries):
        sys.exit("some answers were not 2xx: the figures mean nothing")


if __name__ == "__main__":
    main()
