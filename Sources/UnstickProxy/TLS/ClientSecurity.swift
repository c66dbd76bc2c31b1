/// What is known of a client's connection once its handshake is over.
struct ClientSecurity: Hashable, Sendable {
    enum Version: String, Hashable, Sendable {
        case tls12 = "TLSv1.2"
        case tls13 = "TLSv1.3"
    }

    /// nil without TLS: the scheme is `http` then, `https` otherwise.
    var version: Version?
    /// What the client's requests came as.
    var isHTTP2 = false
    /// Field lines about the client's certificate, to stand in every request; see ``ClientCertificateFields``. While they
    /// are configured, a client's own fields of these names must go, also when there are no lines.
    var certificateLines: [UInt8] = []

    static let plaintext = ClientSecurity()
}

/// What happened to a client's connection before any request of it was understood, for counters and logs.
enum ClientConnectionEvent: Hashable, Sendable {
    case handshakeCompleted(ClientSecurity)
    /// The reason holds nothing that the client sent but the server's name.
    case handshakeFailed(reason: String)
    case handshakeTimedOut
    case http2RequestRefused(HTTP2RequestFault)
    /// The kind of error; the client has got a GOAWAY.
    case http2ConnectionRefused(String)
    case http2Flood
}
