#!/usr/bin/env python3
"""An instance that is healthy by its health check and broken otherwise: `broken.py --port 5001 --name web-1 --mode M`.

garbage   answers with bytes that are no HTTP
close     closes the connection instead of answering
truncate  promises a body of 1000 bytes, sends 10, and closes
silent    never answers
"""

import argparse
import socketserver
import time

HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
BODIES = {
    "garbage": b"\x00\x01 this is no HTTP at all \xff\xfe\r\n\r\n" * 20,
    "close": b"",
    "truncate": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/plain\r\n\r\n0123456789",
}


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = self.request.recv(65536)
            if not chunk:
                return
            head += chunk
        if head.startswith(b"GET /healthz "):
            self.request.sendall(HEALTHY)
        elif self.server.mode == "silent":
            time.sleep(600)
        else:
            self.request.sendall(BODIES[self.server.mode])


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--mode", choices=["garbage", "close", "truncate", "silent"], required=True)
    arguments = parser.parse_args()
    with Server(("127.0.0.1", arguments.port), Handler) as server:
        server.mode = arguments.mode
        server.serve_forever()


if __name__ == "__main__":
    main()
