import BridgeContract
import ControlAPI
import HTTPWire
import NIOCore
import SessionStore
import UnstickCore

/// Steps 2 to 4: decide, read the store's version, choose an instance, and make sure that it gets the state.
extension Exchange {
    func route() {
        decision = table.table.route(sessionHash: sessionHash, affinity: affinity)
        guard decision.target == .lookUpHome || decision.phase.storeHasAuthority, let sessionID else {
            return chooseInstance()
        }
        readVersion(of: sessionID)
    }

    private func readVersion(of id: String) {
        let serial = serial
        loop.store.version(of: id, on: loop.eventLoop).assumeIsolated().whenComplete { result in
            guard self.serial == serial else { return }
            switch result {
            case .failure(let error):
                self.loop.storeFailed(error)
                guard self.decision.target == .lookUpHome, !self.decision.phase.storeHasAuthority else {
                    return self.answer(
                        503, "The session store does not answer; this request was not handled.", retryAfter: 1)
                }
                // Memory has the authority, only the home is unknown: any instance is as good a guess.
                self.decision = RouteDecision(
                    target: .any, phase: self.decision.phase, mayFailOver: false, home: nil)
            case .success(let found):
                self.loop.storeHealth = .up
                // Copies of an older run missed changes of the application: they do not count as copies.
                self.stored = found.flatMap { $0.generation == self.table.table.generation ? $0 : nil }
                if self.decision.target == .lookUpHome {
                    let home = self.stored.flatMap { self.table.index(named: $0.home) }
                    self.decision = self.table.table.route(
                        sessionHash: self.sessionHash, affinity: home, homeLookedUp: true)
                }
            }
            self.chooseInstance()
        }
    }

    func chooseInstance() {
        var chosen: Int?
        switch decision.target {
        case .home(let home):
            if tried & (1 << UInt64(home & 63)) == 0, table.pools[home].isHealthy || !decision.mayFailOver {
                chosen = home
            } else if decision.mayFailOver {
                chosen = failOver(from: home)
            }
        case .any, .lookUpHome:
            chosen = loop.balancer.choose(table, excluding: tried)
        }
        guard let chosen else {
            return answer(503, "No instance is available for this request.", retryAfter: 1)
        }
        served = chosen
        expect()
    }

    /// Another instance serves the request since the home cannot be reached. A session then follows the rules of
    /// `stateless`: the table allows that only while every proxy's store has the authority (see `rehoming`).
    private func failOver(from home: Int) -> Int? {
        guard let other = loop.balancer.choose(table, excluding: tried | 1 << UInt64(home & 63)) else { return nil }
        loop.counters.failovers &+= 1
        if decision.phase == .externalized { decision.phase = .stateless }
        if decision.phase == .sticky { decision.home = nil }
        return other
    }

    /// What the instance must have before the application runs.
    private func expect() {
        expectation = .none
        inlineState = nil
        guard sessionSlice != nil, decision.phase.mirrors else { return connect() }
        guard decision.phase.storeHasAuthority else {
            // In `mirroring` memory has the authority. A body that cannot be replayed must not meet *missing*.
            return replay == nil && table.table.hydrates ? hydrate() : connect()
        }
        guard let stored else {
            // Nothing in the store. From `stateless` on that means: no such session. Before, the home's memory may
            // still have it (a proxy that does not know the epoch behaves as phase 2 while others mirror nothing).
            if decision.phase >= .stateless { expectation = .absent }
            return connect()
        }
        if stored.isTombstone {
            expectation = .absent
            return connect()
        }
        expectation = .want(stored.version)
        let lacks =
            decision.phase >= .stateless
            && !loop.copies.isHeld(sessionHash ?? 0, stored.version, by: served)
            && (pool.incarnation == nil || pool.incarnation != stored.writer)
        if replay == nil || lacks { hydrate() } else { connect() }
    }

    /// Loads the state from the store and sends it along: in a header, or ahead by `PUT` when it is large.
    func hydrate() {
        guard let sessionID else { return connect() }
        // Ended, and the store could not be told: what it holds is of a session that is over.
        if decision.phase == .mirroring, loop.pendingLogouts.contains(sessionID) {
            expectation = .absent
            return connect()
        }
        stage = .deciding
        let serial = serial
        loop.store.load(sessionID, on: loop.eventLoop).assumeIsolated().whenComplete { result in
            guard self.serial == serial else { return }
            switch result {
            case .failure(let error):
                self.loop.storeFailed(error)
                self.answer(503, "The session store does not answer; this request was not handled.", retryAfter: 1)
            case .success(let record):
                self.loop.storeHealth = .up
                let usable = record.flatMap { $0.generation == self.table.table.generation ? $0 : nil }
                guard let usable, !usable.isTombstone else {
                    self.stored = usable?.stored
                    self.expectation = .absent
                    return self.connect()
                }
                self.loop.counters.hydrated &+= 1
                self.send(usable)
            }
        }
    }

    private func send(_ record: SessionRecord) {
        stored = record.stored
        let ttl = ProxyLoop.remainingTTL(
            ttlSeconds: record.ttlSeconds, expiresAt: record.expiresAt, now: loop.clock())
        guard record.state.readableBytes > BridgeHeader.inlineStateBytesMax else {
            let signature = record.state.withUnsafeReadableBytes {
                loop.options.secret.stateSignature(
                    id: record.id, version: record.version, codec: record.codec, ttlSeconds: ttl, state: $0)
            }
            expectation = .put(record.version, codec: record.codec, ttlSeconds: ttl, signature: signature)
            inlineState = record.state
            return connect()
        }
        let serial = serial
        BridgeEndpoints.importSession(
            record.id, version: record.version, codec: record.codec, ttlSeconds: ttl, state: record.state,
            phase: decision.phase, pool: pool, loop: loop
        ) { result in
            guard self.serial == serial else { return }
            switch result {
            case .success:
                self.expectation = self.decision.phase == .mirroring ? .none : .want(record.version)
                self.connect()
            case .failure(.unavailable):
                self.instanceUnavailable()
            case .failure:
                self.answer(503, "The instance did not take the session's state.", retryAfter: 1)
            }
        }
    }

    /// No connection to the chosen instance: it has seen nothing of the request.
    func instanceUnavailable() {
        tried |= 1 << UInt64(served & 63)
        attempts += 1
        guard decision.mayFailOver, attempts < 4 else {
            return answer(503, "The instance that holds this session cannot be reached.", retryAfter: 1)
        }
        chooseInstance()
    }
}
