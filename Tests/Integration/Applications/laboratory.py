#!/usr/bin/env python3
"""Examples/flask-notes with endpoints and faults for tests: `laboratory.py --port 5001 --name web-1`.

The environment variable LABORATORY_REFUSE_IMPORT names a file; while it exists, the bridge's endpoint that takes a
session's state answers 413.
"""

import argparse
import hashlib
import os
import secrets
import time

from flask import request, session
from waitress.server import create_server

from notes import create_app

IMPORT_PATH = "/.well-known/unstick/v1/sessions/"


def add_laboratory(app):
    def digest():
        blob = session.get("blob")
        return hashlib.sha256(blob.encode()).hexdigest() if blob else "none"

    @app.post("/fill")
    def fill():
        """Puts that many random characters into the session, answers their digest."""
        session["blob"] = secrets.token_hex(int(request.args["bytes"]) // 2)
        return digest()

    @app.get("/digest")
    def read_digest():
        return digest()

    @app.post("/unserializable")
    def unserializable():
        """A tuple, which JSON would give back as a list."""
        session["pair"] = (1, 2)
        return "ok"

    @app.post("/serializable")
    def serializable():
        session.pop("pair", None)
        return "ok"

    @app.get("/slow")
    def slow():
        time.sleep(float(request.args["seconds"]))
        return "slow"

    @app.post("/seed")
    def seed():
        """Makes sessions in this memory as if their owners had been here; answers their ids, one a line."""
        interface = app.session_interface
        ids = [secrets.token_urlsafe(32) for _ in range(int(request.args["count"]))]
        for number, session_id in enumerate(ids):
            interface.cache.set(interface.key_prefix + session_id, {"counter:": number}, timeout=1800)
        return "\n".join(ids)


def refusing(inner, flag):
    def application(environ, start_response):
        if (
            environ["REQUEST_METHOD"] == "PUT"
            and environ["PATH_INFO"].startswith(IMPORT_PATH)
            and os.path.exists(flag)
        ):
            start_response("413 Content Too Large", [("Content-Length", "0")])
            return []
        return inner(environ, start_response)

    return application


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    app = create_app(arguments.name)
    add_laboratory(app)
    flag = os.environ.get("LABORATORY_REFUSE_IMPORT")
    create_server(
        refusing(app, flag) if flag else app,
        host="127.0.0.1",
        port=arguments.port,
        threads=16,
        connection_limit=1000,
        clear_untrusted_proxy_headers=False,
        max_request_header_size=65536,
        max_request_body_size=32 * 1024 * 1024,
        ident=None,
    ).run()


if __name__ == "__main__":
    main()
