/// One finished piece of work of a trace, in the vocabulary of OpenTelemetry (trace API specification, "Span").
public struct Span: Sendable, Equatable {
    /// What the work was for, seen from the process that did it.
    public enum Kind: Sendable, Equatable {
        case `internal`, server, client
    }

    public enum Status: Sendable, Equatable {
        /// Nothing is said; the usual case.
        case unset
        /// It failed; the text is for people and may be empty.
        case error(String)
    }

    public enum Value: Sendable, Equatable {
        case text(String)
        case integer(Int64)
        case boolean(Bool)
    }

    public struct Attribute: Sendable, Equatable {
        public var key: String
        public var value: Value

        public init(_ key: String, _ value: Value) {
            self.key = key
            self.value = value
        }
    }

    public var trace: TraceID
    public var id: SpanID
    /// The span that this one is a part of; nil for the first of a trace.
    public var parent: SpanID?
    /// As received from the caller (W3C Trace Context section 3.3); empty when there is none.
    public var traceState = ""
    /// Few different ones: no paths, no ids.
    public var name: String
    public var kind: Kind
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public var startNanoseconds: UInt64
    /// Not before ``startNanoseconds``.
    public var endNanoseconds: UInt64
    public var attributes: [Attribute] = []
    public var status = Status.unset

    public init(
        trace: TraceID, id: SpanID, parent: SpanID?, name: String, kind: Kind, startNanoseconds: UInt64,
        endNanoseconds: UInt64
    ) {
        self.trace = trace
        self.id = id
        self.parent = parent
        self.name = name
        self.kind = kind
        self.startNanoseconds = startNanoseconds
        self.endNanoseconds = max(startNanoseconds, endNanoseconds)
    }
}

/// Where finished spans go. The data plane hands them over; who exports them is the composing program's choice.
public protocol SpanSink: Sendable {
    /// Takes the spans of one request. Never blocks; what has no room is dropped and counted.
    func record(_ spans: [Span])
    /// What became of the spans so far.
    var tally: SpanTally { get }
}

/// Totals of a ``SpanSink``; spans that wait are in none of them.
public struct SpanTally: Sendable, Equatable {
    /// Accepted by the collector.
    public var exported: UInt64 = 0
    /// Not taken because the queue was full.
    public var droppedQueueFull: UInt64 = 0
    /// Given up after the collector could not be reached, or did not answer, until the retry limit.
    public var droppedUnreachable: UInt64 = 0
    /// Refused by the collector, as a batch or as single spans (partial success).
    public var droppedRefused: UInt64 = 0
    /// In the queue at this moment.
    public var waiting: Int = 0

    public init() {}
}
