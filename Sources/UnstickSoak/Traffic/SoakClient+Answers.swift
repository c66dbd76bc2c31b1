import NIOCore
import Synchronization

/// What an answer means for the session, its history and the figures.
extension SoakClient {
    /// What the answer tells about the request's effect.
    private enum Outcome {
        case counter(Int)
        case loggedOut
        case missing(kind: String, MissingAnswer)
    }

    func finish(_ lane: SoakLane, _ answer: Answer) {
        guard let exchange = lane.takeExchange() else { return }
        let now = NIODeadline.now()
        let outcome = read(answer, of: exchange, now: now)
        var record = RequestRecord(
            client: number, key: exchange.operation.key, at: context.sinceStart(now), result: .error(kind: ""))
        let succeeded: Bool
        if case .missing(let kind, let reason) = outcome {
            succeeded = false
            record.result = .error(kind: kind)
            switch exchange.operation {
            case .increment, .logout: record.isUnknown = reason == .unknown
            case .read, .ghost: break
            }
            lane.failures += 1
        } else {
            succeeded = true
            record.result = .success(latencyMicroseconds: microseconds(from: exchange.start, to: now))
            record.waitMicroseconds = microseconds(from: lane.waitingSince ?? exchange.start, to: now)
            lane.waitingSince = nil
            lane.failures = 0
        }
        record.beginsSession = succeeded && mode == .establishing
        record.finding = judge(outcome, exchange)
        context.figures.withLock { $0.add(record) }
        proceed(lane, exchange.operation, outcome, succeeded: succeeded)
    }

    /// Takes the response's cookies, and its meaning.
    private func read(_ answer: Answer, of exchange: SoakLane.Exchange, now: NIODeadline) -> Outcome {
        switch answer {
        case .failure(let kind):
            return .missing(kind: kind, kind == "connect" ? .neverSent : .unknown)
        case .response(let status, let setCookies, let text):
            // A ghost's cookies are somebody else's.
            if case .ghost = exchange.operation {
            } else {
                for field in setCookies {
                    if let cookie = jar.store(field, requestPath: exchange.path, now: unixSeconds(now)) {
                        context.census.note(name: cookie.name, value: cookie.value, client: number)
                    }
                }
            }
            if exchange.operation == .logout {
                return (200...399).contains(status) ? .loggedOut : .missing(kind: "\(status)", .unknown)
            }
            guard (200...299).contains(status) else { return .missing(kind: "\(status)", .unknown) }
            guard let value = counterValue(text) else { return .missing(kind: "protocol", .unknown) }
            return .counter(value)
        }
    }

    private func judge(_ outcome: Outcome, _ exchange: SoakLane.Exchange) -> Finding? {
        switch (outcome, exchange.operation) {
        case (.counter(let value), .increment), (.counter(let value), .read):
            return exchange.ticket.flatMap { ledger.complete($0, value: value) }
        case (.counter(let value), .ghost(let id, let key)):
            noteJarInGhosts()
            return ghosts.first { $0.id == id }?.session.judge(
                value: value, key: key, current: ledger, isAffinity: context.census.isShared)
        case (.loggedOut, _):
            let ghost = GhostSession(cookies: exchange.cookies, ledger: ledger)
            noteSessionsEnd()
            ledger.startAfterLogout()
            let isTelling = !ghost.tellingKeys.isEmpty && !ghost.cookies.isEmpty
            if isTelling { addGhost(ghost) }
            mode = isTelling ? .probing : .establishing
        case (.missing(_, let reason), .logout):
            mode = .running
            guard reason == .unknown else { break }
            if lanes.count == 1 {
                ledger.logoutIsUnknown()
            } else {
                // If it did happen, parallel requests would get a new session each. Leave, like a closed browser.
                noteSessionsEnd()
                jar.removeAll()
                ledger.startWithoutCookies()
                mode = .establishing
            }
        case (.missing(_, let reason), _):
            if let ticket = exchange.ticket { ledger.fail(ticket, reason) }
        case (.counter, .logout): break
        }
        return nil
    }

    private func noteSessionsEnd() {
        noteJarInGhosts()
        for index in ghosts.indices { ghosts[index].session.noteLaterSession(ledger) }
    }

    private func proceed(_ lane: SoakLane, _ operation: SoakOperation, _ outcome: Outcome, succeeded: Bool) {
        switch mode {
        case .establishing:
            if succeeded, case .increment = operation { mode = .running }
        case .probing:
            if case .ghost = operation { mode = .establishing }
        case .auditing:
            auditAttempts += 1
            if succeeded {
                finishAuditStep(failed: false)
            } else if auditAttempts >= Self.auditAttempts {
                finishAuditStep(failed: true)
            }
        case .running, .quiescing, .loggingOut, .done: break
        }
        if mode == .running { wakeOthers() }
        schedule(lane, after: succeeded ? thinkTime() : backoff(lane.failures))
    }

    private func thinkTime() -> TimeAmount {
        guard options.thinkTime > .zero, mode != .auditing else { return .nanoseconds(0) }
        return .nanoseconds(Int64(Double(TimeAmount(options.thinkTime).nanoseconds) * (0.5 + random.unit())))
    }

    /// From 10 to 200 ms: short enough that a pause is measured to a fifth of a second, long enough to leave a server
    /// in trouble room to recover. `Retry-After` counts in whole seconds, too coarse to be followed here.
    private func backoff(_ failures: Int) -> TimeAmount {
        .milliseconds(min(200, 10 << Int64(min(failures, 6) - 1)))
    }

    // MARK: The final reading

    func beginAudit() {
        mode = .auditing
        audit = ledger.keys.filter { ledger.floor($0) > 0 }.map { .read(key: $0) }
        for ghost in ghosts {
            if let key = ghost.session.tellingKeys.first { audit.append(.ghost(id: ghost.id, key: key)) }
        }
        auditAttempts = 0
        lanes[0].isIdle = false
        advanceAudit(lanes[0])
    }

    func advanceAudit(_ lane: SoakLane) {
        if let deadline = shard.drainDeadline, NIODeadline.now() >= deadline {
            while !audit.isEmpty { finishAuditStep(failed: true) }
        }
        if let next = audit.first { send(lane, next) } else { end() }
    }

    /// - Parameter failed: whether the step failed and, being a counter's, leaves that one unaudited.
    private func finishAuditStep(failed: Bool) {
        let step = audit.removeFirst()
        auditAttempts = 0
        if failed, case .read = step { context.figures.withLock { $0.addUnaudited(1) } }
    }

    private func end() {
        mode = .done
        let now = NIODeadline.now()
        for lane in lanes {
            if let since = lane.waitingSince {
                let wait = microseconds(from: since, to: now)
                context.figures.withLock { $0.addWait(client: number, microseconds: wait) }
            }
            lane.closeAll()
        }
        shard.clientIsDone()
    }

    private func microseconds(from start: NIODeadline, to end: NIODeadline) -> Int {
        Int(max(0, (end - start).nanoseconds) / 1000)
    }
}

/// A counter's value as text: 1 to 15 digits, with white space around.
package func counterValue(_ text: [UInt8]) -> Int? {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x0a || $0 == 0x0d || $0 == 0x09 }
    let digits = text.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
    guard (1...15).contains(digits.count) else { return nil }
    var value = 0
    for byte in digits {
        guard byte >= 0x30, byte <= 0x39 else { return nil }
        value = value * 10 + Int(byte - 0x30)
    }
    return value
}
