"""The proxies: how each is configured (one worker thread, sticky cookies, keep-alive to the backends) and started.

Every `start` takes the same arguments and returns a Contender; everything else about a proxy stays in its function.
"""

import dataclasses
import http.client
import json
import os
import shutil
import time
import urllib.request

from processes import START_SECONDS_MAX, BenchmarkError, free_ports, only_child

#: Most client connections that a proxy is configured for.
CONNECTIONS_MAX = 8000
IDLE_SECONDS = 120


@dataclasses.dataclass
class Contender:
    """A running proxy that is measured."""

    name: str
    port: int
    #: The process whose accounting counts: for nginx the worker.
    pid: int
    #: What a client sends to be pinned, as the value of a Cookie header.
    cookie: str = ""
    scheme: str = "http"
    #: The process to end: for nginx the master.
    main_pid: int = 0
    admin_port: int = 0
    backend_pid: int = 0


@dataclasses.dataclass
class Certificate:
    """Files of one certificate for all: `both` holds the certificate and the key."""

    certificate: str
    key: str
    both: str


@dataclasses.dataclass
class Tools:
    """Where the programs are."""

    unstick: str
    #: The folder with the virtual environment and the session backend.
    folder: str

    def program(self, name):
        return os.path.join(self.folder, "venv/bin", name)

    @property
    def envoy(self):
        """The wheel's own binary: its Python starter would be one process more."""
        libraries = os.path.join(self.folder, "venv/lib")
        for version in sorted(os.listdir(libraries)) if os.path.isdir(libraries) else []:
            path = os.path.join(libraries, version, "site-packages/envoy/_bin/envoy")
            if os.path.exists(path):
                return path
        raise BenchmarkError(f"no envoy below {libraries}: start this by run.sh, which installs it")

    @property
    def backend(self):
        return os.path.join(self.folder, "backend")


def system_program(name):
    """Debian puts servers into /usr/sbin, which is not everybody's PATH."""
    found = shutil.which(name) or f"/usr/sbin/{name}"
    if not os.path.exists(found):
        raise BenchmarkError(f"{name} is not installed: start this by run.sh, which installs it")
    return found


def affinity_cookie(port):
    """The cookie that a proxy gives a new client; empty when it gives none. Over plain HTTP.

    Asks until there is a good answer: a proxy may listen before it knows that its backends are healthy.
    """
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return (answer.headers["Set-Cookie"] or "").split(";")[0]
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the proxy on port {port} gives no good answer: {error}") from None
            time.sleep(0.05)


def start_unstick(
        processes, tools, backends, certificate=None, name="unstick", store="memory:", secret=None, health="/healthz"):
    port, admin, tls = free_ports(3)
    folder = processes.path(name)
    os.makedirs(folder, exist_ok=True)
    secret = secret or os.urandom(32).hex()
    processes.write(f"{name}/bridge.key", secret, 0o600)
    extra = ""
    if certificate:
        extra = (f"tls: {{ listen: '127.0.0.1:{tls}', certificates: [{{ cert: '{certificate.certificate}', "
                 f"key: '{certificate.key}' }}] }}\n")
    config = processes.write(f"{name}/unstick.yaml", f"""listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
instances:
  - {{ name: s1, url: "http://127.0.0.1:{backends[0]}" }}
  - {{ name: s2, url: "http://127.0.0.1:{backends[1]}" }}
store: {{ url: "{store}" }}
health: {{ path: {health} }}
timeouts: {{ idle: {IDLE_SECONDS}s }}
proxy: {{ threads: 1 }}
log: {{ level: warning }}
{extra}""")
    command = [tools.unstick, "up", "--config", config, "--allow-volatile-store"]
    pid = processes.start(name, command, [tls if certificate else port, admin], role="proxy")
    return Contender(
        name, tls if certificate else port, pid, affinity_cookie(port), "https" if certificate else "http",
        main_pid=pid, admin_port=admin)


def start_haproxy(processes, tools, backends, certificate=None):
    port, plain = free_ports(2)
    bind = f"bind 127.0.0.1:{plain}"
    if certificate:
        bind += f"\n  bind 127.0.0.1:{port} ssl crt {certificate.both} ssl-min-ver TLSv1.3 alpn http/1.1"
    config = processes.write("haproxy.cfg", f"""global
  nbthread 1
  maxconn {CONNECTIONS_MAX}
defaults
  mode http
  timeout connect 2s
  timeout client {IDLE_SECONDS}s
  timeout server {IDLE_SECONDS}s
  option forwardfor
  http-reuse always
frontend site
  {bind}
  default_backend app
backend app
  balance roundrobin
  cookie SERVERID insert indirect nocache
  server s1 127.0.0.1:{backends[0]} cookie s1
  server s2 127.0.0.1:{backends[1]} cookie s2
""")
    used = port if certificate else plain
    pid = processes.start("haproxy", [system_program("haproxy"), "-db", "-f", config], [used, plain], role="proxy")
    return Contender(
        "haproxy", used, pid, affinity_cookie(plain), "https" if certificate else "http", main_pid=pid)


def nginx_preamble(processes, name, connections):
    """The part that every nginx configuration of the benchmark begins with: files in the folder, one worker, no log."""
    temporary = "".join(
        f"{kind}_temp_path {processes.path(name)}-{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    # Workers drop root's rights, and could then neither read nor write in a private folder.
    user = "user root; " if os.geteuid() == 0 else ""
    return f"""{user}worker_processes 1; daemon off; error_log stderr crit; pid {processes.path(name)}.pid;
worker_rlimit_nofile {connections * 2};
events {{ worker_connections {connections}; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout {IDLE_SECONDS}s; {temporary}
"""


def start_nginx(processes, tools, backends, certificate=None):
    """The open-source nginx of Debian has no cookie insertion; hashing a cookie is how it is made sticky."""
    port, = free_ports(1)
    listen = f"listen 127.0.0.1:{port}" + (" ssl" if certificate else "") + ";"
    if certificate:
        listen += (f" ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"
                   " ssl_protocols TLSv1.3;")
    config = processes.write("nginx.conf", nginx_preamble(processes, "nginx", CONNECTIONS_MAX) + f"""
  client_body_buffer_size 128k;
  upstream app {{ hash $cookie_srv consistent; server 127.0.0.1:{backends[0]}; server 127.0.0.1:{backends[1]};
    keepalive 128; keepalive_requests 1000000000; }}
  server {{ {listen} location / {{ proxy_pass http://app; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}
""")
    master = processes.start(
        "nginx", [system_program("nginx"), "-p", processes.folder, "-c", config], [port], role="proxy")
    return Contender(
        "nginx", port, only_child(master), "srv=1", "https" if certificate else "http", main_pid=master)


def start_envoy(processes, tools, backends, certificate=None):
    """Sticky by the stateful session filter, whose cookie holds the backend's address."""
    port, plain = free_ports(2)

    def any_of(kind, **fields):
        return {"@type": f"type.googleapis.com/envoy.{kind}", **fields}

    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    manager = any_of(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="site", codec_type="HTTP1", use_remote_address=True,
        common_http_protocol_options={"idle_timeout": f"{IDLE_SECONDS}s"},
        route_config={"virtual_hosts": [{
            "name": "site", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
        http_filters=[
            {"name": "envoy.filters.http.stateful_session", "typed_config": any_of(
                "extensions.filters.http.stateful_session.v3.StatefulSession",
                session_state={"name": "envoy.http.stateful_session.cookie", "typed_config": any_of(
                    "extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
                    cookie={"name": "envoy", "path": "/"})})},
            {"name": "envoy.filters.http.router", "typed_config": any_of(
                "extensions.filters.http.router.v3.Router")}])
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listeners = [{"name": "plain", "address": address(plain), "filter_chains": [chain]}]
    if certificate:
        transport = {"name": "envoy.transport_sockets.tls", "typed_config": any_of(
            "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "alpn_protocols": ["http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": certificate.certificate},
                    "private_key": {"filename": certificate.key}}]})}
        listeners.append({
            "name": "tls", "address": address(port), "filter_chains": [chain | {"transport_socket": transport}]})
    config = processes.write("envoy.json", json.dumps({"static_resources": {
        "listeners": listeners,
        "clusters": [{
            "name": "app", "type": "STATIC", "connect_timeout": "2s", "lb_policy": "ROUND_ROBIN",
            "load_assignment": {"cluster_name": "app", "endpoints": [{
                "lb_endpoints": [{"endpoint": {"address": address(each)}} for each in backends]}]}}]}}))
    used = port if certificate else plain
    pid = processes.start(
        "envoy", [tools.envoy, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"],
        [used, plain], role="proxy")
    return Contender("envoy", used, pid, affinity_cookie(plain), "https" if certificate else "http", main_pid=pid)


def start_caddy(processes, tools, backends, certificate=None):
    """One processor at a time for Go's scheduler is as near to one worker thread as Caddy comes."""
    port, plain = free_ports(2)
    route = (f"reverse_proxy 127.0.0.1:{backends[0]} 127.0.0.1:{backends[1]} "
             "{\n    lb_policy cookie lb a-secret-of-this-run\n  }")
    sites = f"http://127.0.0.1:{plain} {{\n  bind 127.0.0.1\n  {route}\n}}\n"
    if certificate:
        sites += (f"https://127.0.0.1:{port} {{\n  bind 127.0.0.1\n  tls {certificate.certificate} {certificate.key} "
                  f"{{\n    protocols tls1.3\n    alpn http/1.1\n  }}\n  {route}\n}}\n")
    config = processes.write("Caddyfile", f"""{{
  admin off
  auto_https off
  persist_config off
  servers {{
    protocols h1
    timeouts {{
      idle {IDLE_SECONDS}s
    }}
  }}
  log {{
    level ERROR
  }}
}}
{sites}""")
    used = port if certificate else plain
    pid = processes.start(
        "caddy", [tools.program("caddy"), "run", "--config", config, "--adapter", "caddyfile"], [used, plain],
        role="proxy",
        environment={"GOMAXPROCS": "1", "XDG_DATA_HOME": processes.path("caddy"),
                     "XDG_CONFIG_HOME": processes.path("caddy")})
    return Contender("caddy", used, pid, affinity_cookie(plain), "https" if certificate else "http", main_pid=pid)


#: In the order of the tables.
STARTERS = {
    "unstick": start_unstick,
    "haproxy": start_haproxy,
    "nginx": start_nginx,
    "envoy": start_envoy,
    "caddy": start_caddy,
}
