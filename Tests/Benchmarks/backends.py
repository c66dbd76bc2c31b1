"""What stands behind the proxies: one nginx process for plain answers, our own small server for sessions and uploads.

Both serve two ports in one process and must be faster than any proxy; every measurement records how busy they were.
"""

import dataclasses
import os

from peers import nginx_preamble, system_program
from processes import free_ports, only_child

SMALL_BODY = "a small answer, as an API would give\\n"


@dataclasses.dataclass
class Backend:
    ports: list
    #: The process that does the work.
    pid: int
    secret: str = ""


def start_nginx_backend(processes):
    """`/` a small answer, `/16k` and `/1m` files of that size, `/healthz`."""
    ports = free_ports(2)
    pages = processes.path("pages")
    os.makedirs(pages, exist_ok=True)
    for name, size in (("16k", 16 << 10), ("1m", 1 << 20)):
        with open(os.path.join(pages, name), "wb") as file:
            file.write(b"0123456789abcdef" * (size // 16))
    config = processes.write("backend.conf", nginx_preamble(processes, "backend", 4096) + f"""
  sendfile on; tcp_nopush on; open_file_cache max=16 inactive=600s;
  server {{ {" ".join(f"listen 127.0.0.1:{port};" for port in ports)} root {pages};
    location = / {{ return 200 "{SMALL_BODY}"; }} location = /healthz {{ return 200 "ok\\n"; }} }} }}
""")
    master = processes.start(
        "backend", [system_program("nginx"), "-p", processes.folder, "-c", config], ports, role="load")
    return Backend(ports, only_child(master))


def start_session_backend(processes, tools, name="backend"):
    """backend/: two instances of a session application in one process; see server.c."""
    ports = free_ports(2)
    secret = os.urandom(32).hex()
    key = processes.write(f"{name}.key", secret, 0o600)
    pid = processes.start(name, [tools.backend, key, *map(str, ports)], ports, role="load")
    return Backend(ports, pid, secret)
