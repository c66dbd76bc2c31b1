import BridgeContract
import ControlAPI
import Logging
import NIOCore
import SessionStore
import UnstickCore
import UnstickCrypto

/// What a finished mirror step means for the response that waits for it.
enum MirrorVerdict: Equatable {
    /// The store has what the response says, or the phase allows to go on without.
    case release
    /// The response must not be acknowledged: 503, for this reason.
    case refuse(String)
}

/// What the mirror step knows of its request.
struct MirrorContext {
    var table: LoopTable
    /// The rules for this request (``RouteDecision/phase``).
    var phase: Phase
    /// The instance that answered, and its index in the table.
    var pool: UpstreamPool
    var served: Int
    /// Name of the instance that the client's affinity names from now on.
    var home: String
    /// What the store held when the request began; nil: not read, or nothing there.
    var stored: StoredVersion?

    var generation: Generation { table.table.generation }
}

/// The mirror step: takes what a bridge says of a session into the store, and answers whether the response may go.
extension ProxyLoop {
    /// Time that the store keeps a session beyond its ttl, so that touches may be skipped for a while: an eighth.
    static func storeExpiry(ttlSeconds: Int64, now: UnixMilliseconds) -> UnixMilliseconds {
        now.adding(milliseconds: ttlSeconds * 1125)
    }

    /// What is left of a record's ttl, without the store's extra time.
    static func remainingTTL(ttlSeconds: Int64, expiresAt: UnixMilliseconds, now: UnixMilliseconds) -> Int64 {
        let left = (expiresAt.rawValue - now.rawValue - ttlSeconds * 125 + 999) / 1000
        return max(1, min(ttlSeconds, left))
    }

    func mirror(
        _ response: BridgeResponse, inlineState: ByteBuffer?, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        context.pool.incarnation = response.incarnation
        if response.unserializable > 0 { counters.unserializable &+= 1 }
        switch response.answer {
        case .none, .late, .missing, .stale:
            completion(.release)
        case .touch(let id, let version, let ttl):
            mirrorTouch(
                id, version: version, ttlSeconds: ttl, incarnation: response.incarnation, in: context,
                completion: completion)
        case .put(let change):
            mirrorChange(
                change, unserializable: response.unserializable, incarnation: response.incarnation,
                inlineState: inlineState, in: context, completion: completion)
        case .destroy(let id, let version, let ttl):
            mirrorDestroy(
                id, version: version, ttlSeconds: ttl, incarnation: response.incarnation, in: context,
                completion: completion)
        case .rotate(let change, let old):
            mirrorChange(
                change, unserializable: response.unserializable, incarnation: response.incarnation,
                inlineState: inlineState, in: context
            ) { verdict in
                guard verdict == .release else { return completion(verdict) }
                // The old id's tombstone has to outlive every copy of it: it gets the new session's ttl.
                self.mirrorDestroy(
                    old, version: change.version.version, ttlSeconds: change.ttlSeconds,
                    incarnation: response.incarnation, in: context, completion: completion)
            }
        }
    }

    // MARK: Changes

    private func mirrorChange(
        _ change: BridgeChange, unserializable: Int, incarnation: String, inlineState: ByteBuffer?,
        in context: MirrorContext, completion: @escaping (MirrorVerdict) -> Void
    ) {
        guard unserializable == 0 else {
            return mirrorFailed(
                change.id, ttlSeconds: change.ttlSeconds, version: change.version.version, in: context,
                reason: "\(unserializable) attributes of the session cannot be serialized", completion: completion)
        }
        if let inlineState,
            inlineState.withUnsafeReadableBytes({ SHA256Digest.prefix32(of: $0) }) == change.version.tag
        {
            return save(change, state: inlineState, incarnation: incarnation, in: context, completion: completion)
        }
        BridgeEndpoints.export(change.id, version: change.version.version, pool: context.pool, loop: self) { result in
            switch result {
            case .success(let exported?):
                self.save(
                    exported.change.replacingBase(change.base), state: exported.state, incarnation: incarnation,
                    in: context, completion: completion)
            case .success(nil) where context.phase == .mirroring:
                // A later request has changed it again: that version contains this one, since memory is shared.
                self.mirrorCurrent(change, in: context, completion: completion)
            case .success(nil):
                self.mirrorFailed(
                    change.id, ttlSeconds: change.ttlSeconds, version: change.version.version, in: context,
                    reason: "the instance no longer has the session's new state", completion: completion)
            case .failure:
                self.mirrorFailed(
                    change.id, ttlSeconds: change.ttlSeconds, version: change.version.version, in: context,
                    reason: "the session's new state could not be fetched from the instance", completion: completion)
            }
        }
    }

    private func mirrorCurrent(
        _ change: BridgeChange, in context: MirrorContext, completion: @escaping (MirrorVerdict) -> Void
    ) {
        BridgeEndpoints.export(change.id, pool: context.pool, loop: self) { result in
            switch result {
            case .success(let exported?):
                self.save(
                    exported.change, state: exported.state, incarnation: exported.incarnation, in: context,
                    completion: completion)
            case .success(nil):
                // Gone already: destroyed by a request that mirrors its own tombstone.
                completion(.release)
            case .failure:
                self.mirrorFailed(
                    change.id, ttlSeconds: change.ttlSeconds, version: change.version.version, in: context,
                    reason: "the session's new state could not be fetched from the instance", completion: completion)
            }
        }
    }

    private func saveCondition(_ phase: Phase, base: VersionTag?) -> SaveCondition {
        switch phase {
        case .sticky, .mirroring: .memoryWins
        case .externalized: .baseOrSameWriter(base)
        case .stateless, .completed: .base(base)
        }
    }

    private func save(
        _ change: BridgeChange, state: ByteBuffer, incarnation: String, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        let record = SessionRecord(
            id: change.id, generation: context.generation, version: change.version, codec: change.codec, state: state,
            ttlSeconds: change.ttlSeconds,
            expiresAt: Self.storeExpiry(ttlSeconds: change.ttlSeconds, now: clock()), home: context.home,
            writer: incarnation)
        save(
            record, when: saveCondition(context.phase, base: change.base), base: change.base, attempt: 0, in: context,
            completion: completion)
    }

    func save(
        _ record: SessionRecord, when condition: SaveCondition, base: VersionTag?, attempt: Int,
        in context: MirrorContext, completion: @escaping (MirrorVerdict) -> Void
    ) {
        let started = now
        mirrorsInFlight += 1
        store.save(record, when: condition, on: eventLoop).assumeIsolated().whenComplete { result in
            self.mirrorsInFlight -= 1
            switch result {
            case .failure(let error):
                self.storeFailed(error)
                self.mirrorFailed(
                    record.id, ttlSeconds: record.ttlSeconds, version: record.version.version, in: context,
                    reason: "the session store did not take the session's new state", completion: completion)
            case .success(let outcome):
                self.storeHealth = .up
                self.mirrorLatency.record(microseconds: UInt64((self.now - started).nanoseconds / 1000))
                self.saved(
                    record, outcome, base: base, attempt: attempt, in: context, completion: completion)
            }
        }
    }

    private func saved(
        _ record: SessionRecord, _ outcome: SaveOutcome, base: VersionTag?, attempt: Int, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        switch outcome {
        case .stored(let version):
            counters.mirrored &+= 1
            dirty.clear(record.id)
            if version == record.version {
                copies.note(StableHash.hash(record.id), version, heldBy: context.served)
            }
            completion(.release)
        case .superseded:
            dirty.clear(record.id)
            completion(.release)
        case .tombstoned:
            // Logged out while this request ran: the logout wins, here and in the instance's memory.
            dirty.clear(record.id)
            BridgeEndpoints.evict(record.id, pool: context.pool, loop: self)
            completion(.release)
        case .conflict(nil):
            // The base was there and is gone by expiry or a sweep, not by a logout: that would be a tombstone.
            guard attempt < 8 else {
                return completion(.refuse("the session was changed by too many requests at once"))
            }
            save(record, when: .base(nil), base: base, attempt: attempt + 1, in: context, completion: completion)
        case .conflict(let current?):
            counters.conflicts &+= 1
            resolveConflict(record, base: base, current: current, attempt: attempt, in: context, completion: completion)
        }
    }

    // MARK: Reads, logouts, failures

    private func mirrorTouch(
        _ id: String, version: VersionTag, ttlSeconds: Int64, incarnation: String, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        let now = clock()
        let hash = StableHash.hash(id)
        if context.phase.storeHasAuthority {
            guard let stored = context.stored, stored.version.version >= version.version else {
                // What the client is about to see is not in the store (a change whose write failed before): it must be
                // before anybody sees it.
                if context.stored == nil { counters.fallbackReads &+= 1 }
                let change = BridgeChange(
                    id: id, version: version, base: context.stored?.version, ttlSeconds: ttlSeconds, codec: "-")
                return mirrorChange(
                    change, unserializable: 0, incarnation: incarnation, inlineState: nil, in: context,
                    completion: completion)
            }
            copies.note(hash, version, heldBy: context.served)
            let expiry = Self.storeExpiry(ttlSeconds: ttlSeconds, now: now)
            let gain = expiry.rawValue - stored.expiresAt.rawValue
            if gain > ttlSeconds * 100 || stored.home != context.home {
                touch(id, ttlSeconds: ttlSeconds, expiry: expiry, in: context)
            }
            return completion(.release)
        }
        if recentTouches.shouldTouch(hash, at: now, every: ttlSeconds * 100) {
            touch(
                id, ttlSeconds: ttlSeconds, expiry: Self.storeExpiry(ttlSeconds: ttlSeconds, now: now), in: context)
        }
        completion(.release)
    }

    /// Moves the expiry; the response does not wait for it.
    private func touch(_ id: String, ttlSeconds: Int64, expiry: UnixMilliseconds, in context: MirrorContext) {
        store.touch(
            id, generation: context.generation, ttlSeconds: ttlSeconds, expiresAt: expiry, home: context.home,
            on: eventLoop
        ).assumeIsolated().whenComplete { result in
            switch result {
            case .success(true): self.storeHealth = .up
            case .success(false) where context.phase == .mirroring:
                // Not in the store yet: a read is as good an occasion as any to take it there.
                self.markDirty(id, ttlSeconds: ttlSeconds, version: 0, isSuspicion: true, in: context)
            case .success(false): break
            case .failure(let error): self.storeFailed(error)
            }
        }
    }

    private func mirrorDestroy(
        _ id: String, version: UInt64, ttlSeconds: Int64, incarnation: String, in context: MirrorContext,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        let tombstone = SessionRecord(
            id: id, generation: context.generation, version: VersionTag(version: version, tag: 0), codec: "-",
            state: ByteBuffer(), ttlSeconds: ttlSeconds,
            expiresAt: Self.storeExpiry(ttlSeconds: max(ttlSeconds, 60), now: clock()), home: context.home,
            writer: incarnation, isTombstone: true)
        mirrorsInFlight += 1
        store.destroy(tombstone, on: eventLoop).assumeIsolated().whenComplete { result in
            self.mirrorsInFlight -= 1
            switch result {
            case .success:
                self.storeHealth = .up
                self.counters.mirrored &+= 1
                self.dirty.clear(id)
                completion(.release)
            case .failure(let error):
                self.storeFailed(error)
                self.markDirty(
                    id, ttlSeconds: ttlSeconds, version: version, wasDestroyed: true, in: context)
                self.counters.mirrorFailures &+= 1
                completion(self.verdictAfterFailure(in: context, reason: "the session store did not take the logout"))
            }
        }
    }

    private func mirrorFailed(
        _ id: String, ttlSeconds: Int64, version: UInt64, in context: MirrorContext, reason: String,
        completion: @escaping (MirrorVerdict) -> Void
    ) {
        counters.mirrorFailures &+= 1
        if context.phase == .mirroring {
            markDirty(id, ttlSeconds: ttlSeconds, version: version, in: context)
        } else {
            // The store has the authority, and nobody was told of this state. Left in memory, a session that nobody knows
            // would keep verifications from succeeding until it expires.
            BridgeEndpoints.evict(id, pool: context.pool, loop: self)
        }
        completion(verdictAfterFailure(in: context, reason: reason))
    }

    private func verdictAfterFailure(in context: MirrorContext, reason: String) -> MirrorVerdict {
        context.phase == .mirroring && context.table.table.storeErrors == .serve ? .release : .refuse(reason)
    }

    func storeFailed(_ error: any Error) {
        observer.metrics.storeErrors &+= 1
        // A store that reads but does not write is up and down with every request: once in a while is enough.
        if storeHealth != .down, now - lastStoreWarning > .seconds(5) {
            lastStoreWarning = now
            logger.warning("session store failed", metadata: ["error": "\(error)"])
        }
        storeHealth = .down
    }

    func markDirty(
        _ id: String, ttlSeconds: Int64, version: UInt64, wasDestroyed: Bool = false, isSuspicion: Bool = false,
        in context: MirrorContext
    ) {
        dirty.mark(
            id,
            DirtySet.Entry(
                home: context.pool.name, wasDestroyed: wasDestroyed, isSuspicion: isSuspicion,
                ttlSeconds: ttlSeconds, version: version, notBefore: now))
    }

    // MARK: Repair

    /// Most sessions repaired at once by one event loop.
    private static let repairsAtOnce = 32

    /// Takes dirty sessions into the store from the memory that has them.
    ///
    /// Compare-and-set on what the store held before the memory was read: an export that is slow, from an instance
    /// that restarts meanwhile, must not land over what that instance's next life has saved.
    func repairDirtySessions() {
        for (id, entry) in dirty.beginRepairs(Self.repairsAtOnce, now: now) {
            guard table.table.phase != .sticky, let served = table.index(named: entry.home) else {
                // In `sticky` nothing is mirrored; an instance that left the table cannot be asked any more.
                dirty.endRepair(id, entry, repaired: true, now: now)
                continue
            }
            let context = MirrorContext(
                table: table, phase: .mirroring, pool: table.pools[served], served: served, home: entry.home,
                stored: nil)
            store.version(of: id, on: eventLoop).assumeIsolated().whenComplete { result in
                switch result {
                case .failure(let error): self.repairFailed(id, entry, error)
                case .success(let found):
                    let observed = found.flatMap { $0.generation == context.generation ? $0 : nil }
                    if observed?.isTombstone == true {
                        return self.dirty.endRepair(id, entry, repaired: true, now: self.now)
                    }
                    BridgeEndpoints.export(id, pool: context.pool, loop: self) { exported in
                        self.repair(id, entry, exported: exported, observed: observed, in: context)
                    }
                }
            }
        }
    }

    private func repairFailed(_ id: String, _ entry: DirtySet.Entry, _ error: any Error) {
        storeFailed(error)
        dirty.endRepair(id, entry, repaired: false, now: now)
    }

    private func repair(
        _ id: String, _ entry: DirtySet.Entry, exported: Result<ExportedSession?, EndpointFailure>,
        observed: StoredVersion?, in context: MirrorContext
    ) {
        switch exported {
        case .failure:
            dirty.endRepair(id, entry, repaired: false, now: now)
        case .success(let session?):
            guard session.change.version != observed?.version else {
                return dirty.endRepair(id, entry, repaired: true, now: now)
            }
            let record = SessionRecord(
                id: id, generation: context.generation, version: session.change.version, codec: session.change.codec,
                state: session.state, ttlSeconds: session.change.ttlSeconds,
                expiresAt: Self.storeExpiry(ttlSeconds: session.change.ttlSeconds, now: clock()), home: entry.home,
                writer: session.incarnation)
            store.save(record, when: .base(observed?.version), on: eventLoop).assumeIsolated().whenComplete { result in
                switch result {
                case .failure(let error): self.repairFailed(id, entry, error)
                case .success(let outcome):
                    self.storeHealth = .up
                    // A conflict means that a request has saved it meanwhile: look again.
                    if case .conflict = outcome {
                        self.dirty.endRepair(id, entry, repaired: false, now: self.now)
                    } else {
                        self.dirty.endRepair(id, entry, repaired: true, now: self.now)
                    }
                }
            }
        case .success(nil) where entry.wasDestroyed:
            let tombstone = SessionRecord(
                id: id, generation: context.generation, version: VersionTag(version: entry.version, tag: 0), codec: "-",
                state: ByteBuffer(), ttlSeconds: entry.ttlSeconds,
                expiresAt: Self.storeExpiry(ttlSeconds: max(entry.ttlSeconds, 60), now: clock()), home: entry.home,
                writer: "", isTombstone: true)
            store.destroy(tombstone, on: eventLoop).assumeIsolated().whenComplete { result in
                switch result {
                case .failure(let error): self.repairFailed(id, entry, error)
                case .success:
                    self.storeHealth = .up
                    self.dirty.endRepair(id, entry, repaired: true, now: self.now)
                }
            }
        case .success(nil):
            dirty.endRepair(id, entry, repaired: true, now: now)
        }
    }
}

extension BridgeChange {
    /// With the base that the response named: an export does not know it.
    fileprivate func replacingBase(_ base: VersionTag?) -> BridgeChange {
        var change = self
        change.base = base
        return change
    }
}
