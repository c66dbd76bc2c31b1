#!/usr/bin/env python3
"""One instance of the shop: `serve.py --port 5001 --name web-1`. One process, because sessions live in it."""

import argparse
import os
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--name", default="web-1", help="shown in X-Served-By and on every page")
    parser.add_argument("--threads", type=int, default=16)
    arguments = parser.parse_args()
    os.environ["SHOP_INSTANCE"] = arguments.name

    from waitress.server import create_server

    from site_config.wsgi import application

    server = create_server(
        application,
        host=arguments.host,
        port=arguments.port,
        threads=arguments.threads,
        connection_limit=1000,
        clear_untrusted_proxy_headers=False,
        # The bridge's state headers and long cookies must fit.
        max_request_header_size=65536,
        max_request_body_size=32 * 1024 * 1024,
        ident=None,
    )
    bridge = "with" if os.environ.get("UNSTICK_SECRET_FILE") else "without"
    print(f"{arguments.name} listening on {arguments.host}:{arguments.port}, {bridge} bridge", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
