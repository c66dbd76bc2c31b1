"""An OTLP/HTTP receiver that decodes what it gets with OpenTelemetry's own Protobuf messages.

Usage: collector.py          prints "port N", then one JSON line per accepted span, to standard output

POST /v1/traces              200, or what a script of answers says, set before:
POST /script                 a JSON list of {"status": N, "body": TEXT, "headers": {NAME: VALUE}}, used up one a request

What is not a valid ExportTraceServiceRequest is answered 400 with the reason, and printed as {"error": TEXT}.
"""

import base64
import http.server
import json
import sys
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


def decode(body):
    """The message of OTLP's JSON: as Protobuf's, but ids are hexadecimal where that has base64."""
    data = json.loads(body)
    for resource in data["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return json_format.ParseDict(data, trace_service_pb2.ExportTraceServiceRequest())


def attributes(items):
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in items}


def lines(message):
    for resource in message.resource_spans:
        shared = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) != 16 or len(span.span_id) != 8:
                    raise ValueError("an id has the wrong length")
                yield {
                    "resource": shared,
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "name": span.name,
                    "kind": trace_pb2.Span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "status": trace_pb2.Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script = []

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/script":
            Handler.script = json.loads(body)
            return self.answer(204, "")
        if Handler.script:
            step = Handler.script.pop(0)
            print(json.dumps({"answered": step["status"]}), flush=True)
            if step["status"] != 200:
                return self.answer(step["status"], step.get("body", ""), step.get("headers", {}))
            text = step.get("body", "{}")
        else:
            text = "{}"
        try:
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
                raise ValueError(f"{self.path} {self.headers['Content-Type']}")
            for line in list(lines(decode(body))):
                print(json.dumps(line), flush=True)
        except Exception as error:  # Whatever is wrong with it, the sender is told.
            print(json.dumps({"error": str(error)}), flush=True)
            return self.answer(400, str(error))
        self.answer(200, text)

    def answer(self, status, text, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"port {server.server_address[1]}", flush=True)
    # Ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()
