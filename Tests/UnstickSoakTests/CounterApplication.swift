import Synchronization

/// An application with counters in its sessions, and with one fault to choose.
final class CounterApplication: Sendable {
    enum Fault: Sendable, Equatable {
        case none
        /// Answers every n-th increment of a session and forgets it.
        case losesIncrement(every: Int)
        /// Forgets the whole session at every n-th request of the application.
        case forgetsSession(every: Int)
        /// Every n-th read is answered as of one increment ago.
        case lagsBehind(every: Int)
        /// Every n-th increment counts twice.
        case repeats(every: Int)
        /// Answers logouts and keeps the session.
        case keepsLoggedOutSessions
        /// As above, and does not even take the cookie away.
        case ignoresLogouts
        /// Two increments of a session read before either writes.
        case losesUpdates
        /// Every n-th request ends so, and takes effect or not.
        case fails(every: Int, Failure, afterEffect: Bool)
        /// Every request from the n-th on is refused.
        case failsFrom(Int)
        /// Logouts only: as above, at every second one.
        case failsLogouts(Failure, afterEffect: Bool)
    }

    enum Failure: Sendable, Equatable {
        case status(Int)
        case close
        case closeInTheMiddle
        case silence
        case garbage
    }

    enum Reply: Sendable {
        case response(status: Int, text: String, setCookies: [String])
        case failure(Failure)
    }

    struct Request: Sendable {
        var method: String
        var path: String
        var key: String
        var sessionID: String?
    }

    private struct Session {
        var counters: [String: Int] = [:]
        var increments = 0
        /// An increment that has read and not written, with the value it read.
        var held: (key: String, value: Int, respond: @Sendable (Reply) -> Void)?
    }

    private struct State {
        var sessions: [String: Session] = [:]
        var nextID = 0
        var requests = 0
        var logouts = 0
        var keys: Set<String> = []
    }

    let fault: Fault
    /// Whether a session id that the client presents is taken although there is no such session.
    let reusesIDs: Bool
    /// Called with the number of the request, from 1, before it is handled.
    let onRequest: @Sendable (Int) -> Void
    private let state = Mutex(State())

    init(_ fault: Fault = .none, reusesIDs: Bool = false, onRequest: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.fault = fault
        self.reusesIDs = reusesIDs
        self.onRequest = onRequest
    }

    var requests: Int { state.withLock { $0.requests } }
    var keys: Set<String> { state.withLock { $0.keys } }

    func handle(_ request: Request, respond: @escaping @Sendable (Reply) -> Void) {
        let number = state.withLock { state in
            state.requests += 1
            state.keys.insert(request.key)
            return state.requests
        }
        onRequest(number)
        var failure: (how: Failure, afterEffect: Bool)?
        if case .fails(let every, let how, let afterEffect) = fault, number % every == 0 {
            failure = (how, afterEffect)
        }
        if case .failsFrom(let first) = fault, number >= first { failure = (.status(503), false) }
        if case .failsLogouts(let how, let afterEffect) = fault, request.path == "/logout" {
            let isSecond = state.withLock { state in
                state.logouts += 1
                return state.logouts % 2 == 0
            }
            if isSecond { failure = (how, afterEffect) }
        }
        // A logout's answer has no counter that could be garbled; with status 200 it would be a lie instead.
        if failure?.how == .garbage, request.path == "/logout" { failure = nil }
        if let failure, !failure.afterEffect { return respond(.failure(failure.how)) }
        let replies = state.withLock { apply(request, number, &$0, respond) }
        let failed = failure
        for (respond, reply) in replies {
            if let failure = failed { respond(.failure(failure.how)) } else { respond(reply) }
        }
    }

    /// The replies that are due now: none for a held increment, two when one is released.
    private func apply(
        _ request: Request, _ number: Int, _ state: inout State, _ respond: @escaping @Sendable (Reply) -> Void
    ) -> [(@Sendable (Reply) -> Void, Reply)] {
        // An affinity cookie, as a proxy would set it.
        var setCookies = ["home=web-1; Path=/"]
        if request.path == "/logout" {
            if let id = request.sessionID, fault != .keepsLoggedOutSessions, fault != .ignoresLogouts {
                state.sessions[id] = nil
            }
            if fault != .ignoresLogouts, !reusesIDs { setCookies.append("sid=; Path=/; Max-Age=0") }
            return [(respond, .response(status: 303, text: "bye", setCookies: setCookies))]
        }
        if case .forgetsSession(let every) = fault, number % every == 0, let id = request.sessionID {
            state.sessions[id] = nil
        }
        let id: String
        if let presented = request.sessionID, reusesIDs || state.sessions[presented] != nil {
            id = presented
        } else {
            state.nextID += 1
            id = "s\(state.nextID)"
            setCookies.append("sid=\(id); Path=/; HttpOnly")
        }
        var session = state.sessions[id] ?? Session()
        defer { state.sessions[id] = session }
        func reply(_ value: Int) -> Reply { .response(status: 200, text: "\(value)\n", setCookies: setCookies) }

        var due: [(@Sendable (Reply) -> Void, Reply)] = []
        let value = session.counters[request.key] ?? 0
        if fault == .losesUpdates {
            if let held = session.held {
                session.counters[held.key] = held.value + 1
                due.append((held.respond, .response(status: 200, text: "\(held.value + 1)", setCookies: [])))
                session.held = nil
            } else if request.method == "POST", value > 0 {
                session.held = (request.key, value, respond)
                return []
            }
        }
        guard request.method == "POST" else {
            var shown = due.isEmpty ? value : session.counters[request.key] ?? 0
            if case .lagsBehind(let every) = fault, number % every == 0 { shown = max(0, value - 1) }
            due.append((respond, reply(shown)))
            return due
        }
        session.increments += 1
        var step = 1
        var answer = value + 1
        if case .losesIncrement(let every) = fault, session.increments % every == 0 { step = 0 }
        if case .repeats(let every) = fault, session.increments % every == 0 {
            step = 2
            answer = value + 2
        }
        session.counters[request.key] = value + step
        due.append((respond, reply(answer)))
        return due
    }
}
