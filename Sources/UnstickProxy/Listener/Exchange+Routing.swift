import BridgeContract
import ControlAPI
import HTTPWire
import NIOCore
import SessionStore
import SocketLoop
import UnstickCore

/// Steps 2 to 4: decide, read the store's version, choose an instance, and make sure that it gets the state.
extension Exchange {
    func route() {
        decision = table.routes.route(sessionHash: sessionHash, affinity: marks.home)
        observation.phase = decision.phase
        guard decision.target == .lookUpHome || decision.phase.storeHasAuthority, let sessionID else {
            return chooseInstance()
        }
        readVersion(of: sessionID)
    }

    private func readVersion(of id: String) {
        let serial = serial
        observation.storeRead.began = loop.now.uptimeNanoseconds
        loop.store.version(of: id, on: loop.eventLoop).assumeIsolated().whenComplete { result in
            guard self.serial == serial else { return }
            self.observation.storeRead.ended = self.loop.now.uptimeNanoseconds
            switch result {
            case .failure(let error):
                self.loop.storeFailed(error)
                guard self.decision.target == .lookUpHome, !self.decision.phase.storeHasAuthority else {
                    return self.answer(
                        503, "The session store does not answer; this request was not handled.",
                        because: .storeUnavailable, retryAfter: 1)
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
                    self.decision = self.table.routes.route(
                        sessionHash: self.sessionHash, affinity: home, homeLookedUp: true)
                }
            }
            self.chooseInstance()
        }
    }

    func chooseInstance() {
        abandonPermit()
        var chosen: Int?
        switch decision.target {
        case .home(let home):
            // In `sticky` another instance serves what the home cannot, but without the session: only a home that cannot be
            // reached is given up, not one that is thought ill of.
            let losesSession = decision.phase == .sticky && sessionSlice != nil
            let claim = HomeClaim(isHome: true, mayFailOver: decision.mayFailOver && !losesSession)
            if !tried.contains(home), obtainPermit(home, claim) {
                chosen = home
            } else if decision.mayFailOver {
                chosen = failOver(from: home)
            }
        case .any, .lookUpHome:
            chosen = chooseAny()
        }
        guard let chosen else {
            return answer(
                503, "No instance is available for this request.", because: .noInstance, retryAfter: 1)
        }
        served = chosen
        observation.instance = pool.metricsSlot
        observation.phase = decision.phase
        expect()
    }

    /// An instance for work that any may do; nil when none is left.
    private func chooseAny() -> Int? {
        // One that is chosen and then has no leave left (its only probe is under way) is passed over.
        var passedOver = tried
        for _ in 0..<4 {
            let index = loop.balancer.choose(
                among: table, excluding: passedOver, key: sessionHash, now: loop.now.uptimeNanoseconds)
            guard let index else { return nil }
            if obtainPermit(index, .none) { return index }
            passedOver.insert(index)
        }
        // Better a try at an instance that may fail than a certain refusal.
        let last = loop.balancer.choose(
            among: table, excluding: tried, key: sessionHash, now: loop.now.uptimeNanoseconds)
        if let last { _ = obtainPermit(last, .exclusive) }
        return last
    }

    private func obtainPermit(_ index: Int, _ claim: HomeClaim) -> Bool {
        permit = loop.permit(claim, of: table.pools[index])
        return permit != nil
    }

    /// Another instance serves the request since the home cannot be reached. A session then follows the rules of
    /// `stateless`: the table allows that only while every proxy's store has the authority (see `rehoming`).
    private func failOver(from home: Int) -> Int? {
        tried.insert(home)
        guard let other = chooseAny() else { return nil }
        loop.counters.failovers &+= 1
        observation.flags.insert(.failedOver)
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
        observation.hydrated.began = loop.now.uptimeNanoseconds
        loop.store.load(sessionID, on: loop.eventLoop).assumeIsolated().whenComplete { result in
            guard self.serial == serial else { return }
            self.observation.hydrated.ended = self.loop.now.uptimeNanoseconds
            switch result {
            case .failure(let error):
                self.loop.storeFailed(error)
                self.answer(
                    503, "The session store does not answer; this request was not handled.",
                    because: .storeUnavailable, retryAfter: 1)
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
            self.observation.hydrated.ended = self.loop.now.uptimeNanoseconds
            switch result {
            case .success:
                self.expectation = self.decision.phase == .mirroring ? .none : .want(record.version)
                self.connect()
            case .failure(.unavailable(let reason)):
                self.instanceUnavailable(reason)
            case .failure:
                self.answer(
                    503, "The instance did not take the session's state.", because: .hydrationFailed, retryAfter: 1)
            }
        }
    }

    /// No connection to the chosen instance: it has seen nothing of the request.
    func instanceUnavailable(_ reason: UpstreamUnavailable) {
        let failure: AttemptFailure
        switch reason {
        case .refused:
            failure = .refused
            settlePermit(.connectFailed)
        case .timedOut:
            failure = .connectTimedOut
            settlePermit(.connectTimedOut)
        case .queueFull:
            failure = .queueFull
            abandonPermit()
        }
        loop.observer.metrics.connectFailed(slot: pool.metricsSlot)
        retry(after: failure) {
            self.answer(
                503,
                decision.mayFailOver
                    ? "No instance can be reached." : "The instance that holds this session cannot be reached.",
                because: reason == .queueFull ? .queueFull : .connectFailed, retryAfter: 1)
        }
    }

    /// Tries the request again where that is safe and the budget allows it.
    func retry(after failure: AttemptFailure, otherwise giveUp: () -> Void) {
        tries += 1
        let subject = RetriedRequest(
            method: request.method, hasIdempotencyKey: hasIdempotencyKey, bodyIsKept: replay != nil,
            hasSubstitute: decision.mayFailOver && hasUntriedInstance)
        switch loop.retries.decide(after: failure, of: subject, tries: tries, now: loop.now) {
        case .giveUp(let refusal):
            if refusal == .budgetSpent { loop.observer.metrics.retriesDenied &+= 1 }
            giveUp()
        case .again(let reason, let target):
            observation.retries &+= 1
            loop.observer.metrics.retried(reason)
            stage = .deciding
            deadline = loop.now + loop.waits.response
            switch target {
            case .anotherInstance:
                tried.insert(served)
                chooseInstance()
            case .freshConnection:
                // The first leave was given back without a verdict; this try has one.
                _ = obtainPermit(served, .exclusive)
                connect(fresh: true)
            case .sameInstance(let pause):
                let serial = serial
                let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
                loop.eventLoop.scheduleTask(in: pause) {
                    guard bound.value.serial == serial else { return }
                    bound.value.chooseInstance()
                }
            }
        }
    }

    /// Whether another instance is left. The last one is tried again after a pause, as one without substitute is.
    private var hasUntriedInstance: Bool {
        table.table.instances.indices.contains { index in
            index != served && !tried.contains(index) && table.acceptsNewSessions(index)
        }
    }

    /// Asked only for methods that are not idempotent by themselves.
    var hasIdempotencyKey: Bool {
        guard !request.method.isIdempotent else { return false }
        return head.withUnsafeReadableBytes { bytes in
            guard let field = request.headers.first(named: Self.idempotencyKey, in: bytes) else { return false }
            return !field.value.isEmpty
        }
    }

    private static let idempotencyKey = FieldName("Idempotency-Key")!
}
