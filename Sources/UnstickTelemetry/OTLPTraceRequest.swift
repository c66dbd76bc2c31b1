import UnstickCore

/// Encodes spans as an OTLP `ExportTraceServiceRequest` in JSON (OTLP specification 1.x, "JSON Protobuf Encoding"): ids in
/// hexadecimal, enumerations as numbers, 64-bit integers as decimal strings.
struct OTLPTraceRequest: Sendable {
    /// `service.name` and the like, the same for all spans.
    let resource: [Span.Attribute]
    let scope: (name: String, version: String)

    func encode(_ spans: some Sequence<Span>) -> [UInt8] {
        var json = JSONText()
        json.raw("{\"resourceSpans\":[{\"resource\":{\"attributes\":")
        encode(resource, &json)
        json.raw("},\"scopeSpans\":[{\"scope\":{\"name\":")
        json.string(scope.name)
        json.raw(",\"version\":")
        json.string(scope.version)
        json.raw("},\"spans\":[")
        var isFirst = true
        for span in spans {
            if !isFirst { json.raw(",") }
            isFirst = false
            encode(span, &json)
        }
        json.raw("]}]}]}")
        return json.bytes
    }

    private func encode(_ span: Span, _ json: inout JSONText) {
        json.raw("{\"traceId\":\"\(span.trace)\",\"spanId\":\"\(span.id)\"")
        if let parent = span.parent { json.raw(",\"parentSpanId\":\"\(parent)\"") }
        if !span.traceState.isEmpty {
            json.raw(",\"traceState\":")
            json.string(span.traceState)
        }
        json.raw(",\"name\":")
        json.string(span.name)
        // SpanKind of trace.proto: 1 internal, 2 server, 3 client.
        let kind =
            switch span.kind {
            case .internal: 1
            case .server: 2
            case .client: 3
            }
        json.raw(",\"kind\":\(kind)")
        json.raw(",\"startTimeUnixNano\":\"\(span.startNanoseconds)\",\"endTimeUnixNano\":\"\(span.endNanoseconds)\"")
        if !span.attributes.isEmpty {
            json.raw(",\"attributes\":")
            encode(span.attributes, &json)
        }
        if case .error(let message) = span.status {
            // Status.StatusCode of trace.proto: 2 error.
            json.raw(",\"status\":{\"code\":2")
            if !message.isEmpty {
                json.raw(",\"message\":")
                json.string(message)
            }
            json.raw("}")
        }
        json.raw("}")
    }

    private func encode(_ attributes: [Span.Attribute], _ json: inout JSONText) {
        json.raw("[")
        for (index, attribute) in attributes.enumerated() {
            json.raw(index == 0 ? "{\"key\":" : ",{\"key\":")
            json.string(attribute.key)
            json.raw(",\"value\":{")
            switch attribute.value {
            case .text(let text):
                json.raw("\"stringValue\":")
                json.string(text)
            case .integer(let number): json.raw("\"intValue\":\"\(number)\"")
            case .boolean(let truth): json.raw("\"boolValue\":\(truth)")
            }
            json.raw("}}")
        }
        json.raw("]")
    }
}

/// JSON as it is written (RFC 8259).
struct JSONText {
    private(set) var bytes: [UInt8] = []

    mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// A string with its quotes.
    mutating func string(_ text: String) {
        let digits: StaticString = "0123456789abcdef"
        bytes.append(0x22)
        for byte in text.utf8 {
            switch byte {
            case 0x22, 0x5c:
                bytes.append(0x5c)
                bytes.append(byte)
            case 0..<0x20, 0x7f:
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(digits.utf8Start[Int(byte >> 4)])
                bytes.append(digits.utf8Start[Int(byte & 0xf)])
            default: bytes.append(byte)
            }
        }
        bytes.append(0x22)
    }
}
