import BridgeContract
import HTTPWire
import NIOCore
import UnstickCore
import UnstickCrypto

/// A session as an instance's bridge exported it.
struct ExportedSession {
    var change: BridgeChange
    var state: ByteBuffer
    var incarnation: String
}

/// The bridge's endpoints as the proxy uses them.
enum BridgeEndpoints {
    /// Gets a session's state. Nil: the instance does not hold it (or not at that version any more).
    static func export(
        _ id: String, version: UInt64? = nil, pool: UpstreamPool, loop: ProxyLoop,
        completion: @escaping (Result<ExportedSession?, EndpointFailure>) -> Void
    ) {
        let query = version.map { "?ver=\($0)" } ?? ""
        let target = "\(BridgeHeader.endpointPrefix)sessions/\(percentEncoded(id))\(query)"
        EndpointExchange.call(.get, target, pool: pool, loop: loop) { result in
            completion(
                result.flatMap { answer in
                    if answer.status == 404 { return .success(nil) }
                    guard answer.status == 200 else { return .failure(.status(answer.status)) }
                    guard let header = answer.session, let response = try? BridgeResponse(parsing: header),
                        case .put(let change) = response.answer, change.id == id,
                        answer.body.withUnsafeReadableBytes({ SHA256Digest.prefix32(of: $0) }) == change.version.tag
                    else { return .failure(.malformed) }
                    return .success(
                        ExportedSession(change: change, state: answer.body, incarnation: response.incarnation))
                })
        }
    }

    /// Puts a session into the instance's memory.
    static func importSession(
        _ id: String, version: VersionTag, codec: String, ttlSeconds: Int64, state: ByteBuffer, phase: Phase,
        pool: UpstreamPool, loop: ProxyLoop, completion: @escaping (Result<Void, EndpointFailure>) -> Void
    ) {
        let target = "\(BridgeHeader.endpointPrefix)sessions/\(percentEncoded(id))"
        let signature = state.withUnsafeReadableBytes {
            loop.options.secret.stateSignature(
                id: id, version: version, codec: codec, ttlSeconds: ttlSeconds, state: $0)
        }
        let header = BridgeRequest.putValue(
            version: version, codec: codec, ttlSeconds: ttlSeconds, signature: signature, phase: phase)
        EndpointExchange.call(.put, target, header: header, body: state, pool: pool, loop: loop) { result in
            completion(
                result.flatMap { answer in
                    (200..<300).contains(answer.status) ? .success(()) : .failure(.status(answer.status))
                })
        }
    }

    /// Drops a session from the instance's memory; nothing waits for it.
    static func evict(_ id: String, pool: UpstreamPool, loop: ProxyLoop) {
        let target = "\(BridgeHeader.endpointPrefix)sessions/\(percentEncoded(id))"
        EndpointExchange.call(.delete, target, pool: pool, loop: loop) { _ in }
    }
}
