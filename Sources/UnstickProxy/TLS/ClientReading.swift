import NIOCore

/// Stops and resumes reading from a client, whatever kind of channel it has.
enum ClientReading {
    /// Call on the channel's event loop. A stream of HTTP/2 has no other option than this one: setting another ends the
    /// process.
    static func set(_ isReading: Bool, on channel: any Channel) {
        try? channel.syncOptions?.setOption(.autoRead, value: isReading)
        // A socket's channel reads when the option is set. A stream of HTTP/2 does not, and a client whose window is used
        // up sends nothing that could wake it.
        if isReading { channel.read() }
    }
}
