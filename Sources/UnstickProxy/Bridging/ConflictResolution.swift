import BridgeContract
import ControlAPI
import NIOCore
import SessionStore
import UnstickCore
import UnstickCrypto

/// What happens when two requests of one session changed it at once on different instances (DESIGN section 7).
extension ProxyLoop {
    /// Another request that wins the race this often makes this one fail rather than try for ever.
    private static let attemptsMax = 8

    func resolveConflict(
        _ record: SessionRecord, base: VersionTag?, current: StoredVersion, attempt: Int, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        guard attempt < Self.attemptsMax else {
            return completion(.refuse("the session was changed by too many requests at once"))
        }
        guard options.session.concurrency == .merge, record.codec == "json", let base else {
            return save(record, when: .overwrite, base: base, attempt: attempt + 1, in: context, completion: completion)
        }
        BridgeEndpoints.export(record.id, version: base.version, pool: context.pool, loop: self) { result in
            guard case .success(let ancestor?) = result, ancestor.change.version == base else {
                // Without the common ancestor nobody can tell who changed which key: the later writer wins.
                return self.save(
                    record, when: .overwrite, base: base, attempt: attempt + 1, in: context, completion: completion)
            }
            self.store.load(record.id, on: self.eventLoop).assumeIsolated().whenComplete { loaded in
                switch loaded {
                case .failure(let error):
                    self.storeFailed(error)
                    completion(.refuse("the session store did not answer"))
                case .success(nil):
                    self.save(
                        record, when: .base(nil), base: base, attempt: attempt + 1, in: context,
                        completion: completion)
                case .success(let theirs?):
                    guard !theirs.isTombstone,
                        let merged = JSONMerge.merge(
                            base: ancestor.state, ours: record.state, theirs: theirs.state)
                    else {
                        return self.save(
                            record, when: .overwrite, base: base, attempt: attempt + 1, in: context,
                            completion: completion)
                    }
                    var next = record
                    next.state = merged
                    next.version = VersionTag(
                        version: max(record.version.version, theirs.version.version) + 1,
                        tag: merged.withUnsafeReadableBytes { SHA256Digest.prefix32(of: $0) })
                    self.save(
                        next, when: .base(theirs.version), base: base, attempt: attempt + 1, in: context,
                        completion: completion)
                }
            }
        }
    }
}
