import NIOCore
import NIOHTTP1

/// One user: a cookie jar, a session's history, the sessions it logged out of, and its lanes. Lives on its event loop.
///
/// Requests run in parallel only within an established session. Beginning a session and logging out are done by one lane
/// alone: otherwise parallel first requests would rightly get a session each, and no answer could be judged.
final class SoakClient {
    /// Where the client is in its session's life.
    enum Mode {
        /// Lane 0 makes a first increment; → `running`.
        case establishing
        /// → `quiescing`, or `auditing` at the end.
        case running
        /// A logout waits for the other lanes' answers; → `loggingOut`.
        case quiescing
        /// → `probing`, or back.
        case loggingOut
        /// Lane 0 presents the cookies it was just logged out of; → `establishing`.
        case probing
        /// Lane 0 reads every counter a last time; → `done`.
        case auditing
        case done
    }

    struct Ghost {
        let id: Int
        var session: GhostSession
    }

    /// Logged-out sessions kept for probing; the oldest goes first.
    static let ghostsLimit = 4
    static let auditAttempts = 3

    let number: Int
    let shard: SoakShard
    var context: SoakContext { shard.context }
    var options: SoakOptions { shard.context.options }
    var lanes: [SoakLane] = []
    var mode = Mode.establishing
    var jar = CookieJar()
    var ledger: SessionLedger
    var ghosts: [Ghost] = []
    var random: SplitMix64
    /// Final readings still to be done, and tries of the first.
    var audit: [SoakOperation] = []
    var auditAttempts = 0
    var nextGhost = 0

    /// Requests left; nil: no limit.
    private var budget: Int?
    private var nextAddress: Int
    /// The jar's revision that the ghosts know.
    private var notedRevision = -1
    private let paths: (increment: [String], value: [String], logout: [String])

    init(number: Int, shard: SoakShard) {
        self.number = number
        self.shard = shard
        let options = shard.context.options
        ledger = SessionLedger(keys: options.parallel.keys)
        random = SplitMix64(seed: options.seed &* 0x1_0000_01b3 &+ UInt64(number))
        // Shares that add up to the whole, without a counter that all loops would fight for.
        budget = options.maxRequests.map { $0 / options.clients + (number < $0 % options.clients ? 1 : 0) }
        nextAddress = number % shard.context.addresses.count
        let prefixes = shard.context.addresses.map(\.prefix)
        paths = (prefixes.map { $0 + "/increment" }, prefixes.map { $0 + "/value" }, prefixes.map { $0 + "/logout" })
        lanes = (0..<options.parallel.lanes).map {
            SoakLane(
                index: $0, loop: shard.loop, addresses: prefixes.count, requestTimeout: shard.context.requestTimeout,
                tls: shard.context.tls)
        }
    }

    func start(after delay: TimeAmount) {
        if let rate = options.targetRate {
            for lane in lanes {
                lane.nextDue = .now() + .nanoseconds(Int64(random.unit() * laneInterval(rate)))
            }
        }
        lanes[0].isIdle = false
        schedule(lanes[0], after: max(.nanoseconds(1), delay))
    }

    func beginEnding() {
        for lane in lanes {
            guard lane.isAsleep else { continue }
            lane.cancelWakeup()
            advance(lane)
        }
    }

    /// Gives up what took too long.
    func sweep(_ now: NIODeadline, isOver: Bool) {
        guard mode != .done else { return }
        for lane in lanes {
            if let exchange = lane.exchange, isOver || now >= exchange.start + context.requestTimeout {
                lane.abandonExchange()
                finish(lane, .failure(kind: "timeout"))
            } else if isOver, lane.isAsleep {
                lane.cancelWakeup()
                advance(lane)
            }
        }
    }

    // MARK: Steps

    /// The lane is free and its time has come.
    func advance(_ lane: SoakLane) {
        if mode == .done { return }
        if mode == .auditing { return advanceAudit(lane) }
        guard !shard.isEnding, budget != 0 else { return rest(lane) }
        switch mode {
        case .establishing:
            if lane.index == 0 { sendCounted(lane, .increment(key: 0)) } else { rest(lane) }
        case .running: step(lane)
        case .probing:
            if let ghost = ghosts.last, let key = ghost.session.tellingKeys.first {
                send(lane, .ghost(id: ghost.id, key: key))
            } else {
                mode = .establishing
                advance(lane)
            }
        case .quiescing, .loggingOut, .auditing, .done: rest(lane)
        }
    }

    private func step(_ lane: SoakLane) {
        // After a logout that may have happened, the sooner it is clear, the sooner every answer can be judged again.
        if random.unit() < (ledger.mayBeLoggedOut ? max(0.5, options.logoutProbability) : options.logoutProbability) {
            mode = .quiescing
            return rest(lane)
        }
        if !ghosts.isEmpty, random.unit() < options.ghostProbability {
            let ghost = ghosts[Int(random.next(below: UInt64(ghosts.count)))]
            if let key = ghost.session.tellingKeys.randomElement(using: &random) {
                return sendCounted(lane, .ghost(id: ghost.id, key: key))
            }
        }
        let key = options.parallel.keys > 1 ? lane.index : 0
        let shares = options.mix.increments + options.mix.reads
        let isIncrement = random.next(below: UInt64(shares)) < UInt64(options.mix.increments)
        sendCounted(lane, isIncrement ? .increment(key: key) : .read(key: key))
    }

    /// The lane waits to be woken. When all do, what they waited for begins.
    private func rest(_ lane: SoakLane) {
        lane.isIdle = true
        guard lanes.allSatisfy(\.isIdle) else { return }
        if shard.isEnding || budget == 0 {
            beginAudit()
        } else if mode == .quiescing {
            mode = .loggingOut
            lanes[0].isIdle = false
            sendCounted(lanes[0], .logout)
        }
    }

    func wakeOthers() {
        for lane in lanes where lane.isIdle {
            lane.isIdle = false
            schedule(lane, after: .nanoseconds(0))
        }
    }

    /// Takes the lane's next step after the pause that the options or a target rate demand.
    func schedule(_ lane: SoakLane, after delay: TimeAmount) {
        let now = NIODeadline.now()
        var due = now + delay
        if let rate = options.targetRate, mode != .auditing {
            due = max(due, lane.nextDue)
            // What was missed by more than a second is not made up for.
            lane.nextDue = max(lane.nextDue, now - .seconds(1)) + .nanoseconds(Int64(laneInterval(rate)))
        }
        guard due > now, !(shard.isEnding && mode != .auditing) else { return advance(lane) }
        lane.wake(at: due) { [self, unowned lane] in advance(lane) }
    }

    private func laneInterval(_ rate: Double) -> Double {
        Double(options.clients * lanes.count) / rate * 1e9
    }

    // MARK: Requests

    private func sendCounted(_ lane: SoakLane, _ operation: SoakOperation) {
        if let budget { self.budget = budget - 1 }
        send(lane, operation)
    }

    func send(_ lane: SoakLane, _ operation: SoakOperation) {
        let now = NIODeadline.now()
        let addressIndex = nextAddress
        if options.alternateURLs { nextAddress = (nextAddress + 1) % context.addresses.count }
        jar.expire(now: unixSeconds(now))

        var ticket: SessionLedger.Ticket?
        let method: HTTPMethod
        let path: String
        switch operation {
        case .increment(let key):
            ticket = ledger.sendIncrement(key)
            (method, path) = (.POST, paths.increment[addressIndex])
            noteJarInGhosts()
        case .read(let key):
            ticket = ledger.sendRead(key)
            (method, path) = (.GET, paths.value[addressIndex])
        case .logout: (method, path) = (.POST, paths.logout[addressIndex])
        case .ghost: (method, path) = (.GET, paths.value[addressIndex])
        }
        var cookies = jar.cookies(path: path)
        if case .ghost(let id, _) = operation, let ghost = ghosts.first(where: { $0.id == id }) {
            cookies = ghost.session.cookies
        }
        let hasKey = options.parallel.keys > 1 && operation != .logout
        var head = HTTPRequestHead(
            version: .http1_1, method: method, uri: hasKey ? "\(path)?key=k\(operation.key)" : path)
        let address = context.addresses[addressIndex]
        head.headers.reserveCapacity(4)
        head.headers.add(name: "Host", value: options.hostHeader ?? address.authority)
        head.headers.add(name: "User-Agent", value: options.userAgent)
        if method == .POST { head.headers.add(name: "Content-Length", value: "0") }
        if let header = CookieJar.header(cookies) { head.headers.add(name: "Cookie", value: header) }
        let exchange = SoakLane.Exchange(
            operation: operation, ticket: ticket, cookies: cookies, path: path, start: now)
        lane.send(exchange, head: head, to: address, at: addressIndex) { [unowned self, unowned lane] answer in
            finish(lane, answer)
        }
    }

    /// Tells the ghosts which cookies the present session goes by.
    func noteJarInGhosts() {
        guard notedRevision != jar.revision else { return }
        notedRevision = jar.revision
        for index in ghosts.indices { ghosts[index].session.noteLaterSession(cookies: jar.cookies) }
    }

    func addGhost(_ session: GhostSession) {
        if ghosts.count == Self.ghostsLimit { ghosts.removeFirst() }
        ghosts.append(Ghost(id: nextGhost, session: session))
        nextGhost += 1
        notedRevision = -1
    }

    func unixSeconds(_ now: NIODeadline) -> Int64 {
        context.startUnixSeconds + context.sinceStart(now) / 1_000_000_000
    }
}

/// Small and seedable (Steele, Lea and Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0 ≤ result < `bound`.
    mutating func next(below bound: UInt64) -> UInt64 { next() % bound }

    /// 0 ≤ result < 1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
