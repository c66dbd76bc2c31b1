public import UnstickCore
internal import UnstickCrypto

/// The secret that proxy, coordinator and bridges share, and everything that is signed with it (bridge contract 1).
public struct BridgeSecret: Sendable {
    /// Shorter secrets are refused.
    public static let minimumByteCount = 32

    private let mac: HMACSHA256
    private let affinityMAC: HMACSHA256
    private let hashMAC: HMACSHA256

    /// - Parameter fileBytes: the secret file's bytes; line ends at the end do not count.
    /// - Returns: nil when fewer than ``minimumByteCount`` bytes remain.
    public init?(fileBytes: some Collection<UInt8>) {
        var key = Array(fileBytes)
        while let last = key.last, last == 0x0a || last == 0x0d { key.removeLast() }
        guard key.count >= Self.minimumByteCount else { return nil }
        mac = HMACSHA256(key: key)
        // Separate keys for separate uses, so that no value signed for one use passes in another.
        affinityMAC = HMACSHA256(key: mac.authenticate("unstick affinity cookie 1"))
        hashMAC = HMACSHA256(key: mac.authenticate("unstick session hash 1"))
    }

    /// `TS.MAC` of the `auth=` attribute: valid for 60 s around `seconds`, so one a second is enough.
    public func proxyAuthentication(at seconds: Int64) -> String {
        "\(seconds).\(Base64URL.encode(mac.authenticate("unstick-proxy\n\(seconds)")))"
    }

    /// `SIG` of a state that travels to a bridge: over id, version-tag, codec, ttl and the state's bytes.
    public func stateSignature(
        id: String, version: VersionTag, codec: String, ttlSeconds: Int64, state: UnsafeRawBufferPointer
    ) -> String {
        var message = Array("\(id)\n\(version)\n\(codec)\n\(ttlSeconds)\n".utf8)
        message.append(contentsOf: state)
        return Base64URL.encode(mac.authenticate(message))
    }

    /// Value of the `Unstick-Auth` header of a request to a bridge's endpoint.
    /// - Parameter target: path with query, exactly as on the request line.
    public func endpointAuthentication(
        method: String, target: String, seconds: Int64, body: UnsafeRawBufferPointer
    ) -> String {
        let digest = Hex.encode(SHA256Digest.digest(of: body))
        return "ts=\(seconds); sig=\(Base64URL.encode(mac.authenticate("\(method)\n\(target)\n\(seconds)\n\(digest)")))"
    }

    /// The signed part of an affinity cookie: 128 bits over the instance's name.
    public func affinitySignature(instance: String) -> String {
        Base64URL.encode(Array(affinityMAC.authenticate(instance).prefix(16)))
    }

    /// What logs, journals and pages show in place of a session id: 12 hexadecimal digits, keyed, so that nobody
    /// without the secret can test a guess.
    public func sessionHash(_ id: String) -> String {
        Hex.encode(hashMAC.authenticate(id).prefix(6))
    }
}
