public import AsyncHTTPClient
public import BridgeContract
import ControlAPI
public import NIOCore
public import SessionStore
public import UnstickCore

/// ``VerificationService`` over the bridges' endpoints and a session store.
///
/// Holds no state between calls. Several may run at once; the migration makes sure that they don't contradict each
/// other.
public struct Verifier: VerificationService {
    /// What one verification may take at a time.
    struct Limits: Sendable {
        /// Sessions of a page of a listing.
        var page = 500
        /// Records of a page of a store's scan.
        var scanPage = 1000
        /// Versions asked of the store at a time.
        var batch = 64
        /// Instances crawled at a time.
        var instances = 8
        /// Single sessions exported, imported or evicted at a time, per instance.
        var sessions = 8
        /// Looks at one session in one pass.
        var looks = 3
        /// Sessions that may be waiting to be looked at again; more make the verification inconclusive.
        var recheck = 200_000
        /// Before the second pass; doubles with each further one up to ``pauseMax``. A mirror that is in flight when a
        /// pass begins should be over when the next one does.
        var pauseMin = Duration.milliseconds(100)
        var pauseMax = Duration.seconds(2)
        /// For an answer of the store.
        var store = TimeAmount.seconds(30)
    }

    let store: any SessionStore
    let bridge: BridgeClient
    let secret: BridgeSecret
    let eventLoopGroup: any EventLoopGroup
    let clock: WallClock
    let pause: @Sendable (Duration) async throws -> Void
    let limits: Limits

    /// - Parameters:
    ///   - http: made with ``httpConfiguration``; the caller shuts it down.
    ///   - named: for `https` instances whose certificates are for another name than their URL's; nil: `http` for all.
    ///   - clock: for signatures, which are valid for 60 s around it, and for the expiry of what is saved.
    public init(
        store: any SessionStore, http: HTTPClient, named: NamedInstanceClients? = nil, secret: BridgeSecret,
        eventLoopGroup: any EventLoopGroup, clock: @escaping WallClock
    ) {
        self.init(
            store: store, bridge: BridgeClient(http: http, named: named, secret: secret, clock: clock), secret: secret,
            eventLoopGroup: eventLoopGroup, clock: clock)
    }

    init(
        store: any SessionStore, bridge: BridgeClient, secret: BridgeSecret, eventLoopGroup: any EventLoopGroup,
        clock: @escaping WallClock, limits: Limits = Limits(),
        pause: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        self.store = store
        self.bridge = bridge
        self.secret = secret
        self.eventLoopGroup = eventLoopGroup
        self.clock = clock
        self.limits = limits
        self.pause = pause
    }

    /// Settings for the HTTP client that asks the bridges: no redirects, no decompression, short connect timeout.
    public static var httpConfiguration: HTTPClient.Configuration { BridgeClient.httpConfiguration }

    func storeAccess() -> StoreAccess {
        StoreAccess(store: store, eventLoop: eventLoopGroup.any(), deadline: limits.store)
    }

    func pauseBefore(pass: Int) -> Duration {
        min(limits.pauseMin * (1 << min(max(0, pass - 2), 10)), limits.pauseMax)
    }

    public func describe(instance: RoutingTable.Instance) async -> InstanceDescription {
        do throws(BridgeClientError) {
            let identity = try await bridge.instance(instance)
            return InstanceDescription(
                name: instance.name, incarnation: identity.incarnation, framework: identity.framework,
                bridge: identity.bridge, sessions: identity.sessions, warning: identity.warning)
        } catch {
            return InstanceDescription(name: instance.name, problem: error.message)
        }
    }
}

/// Why the crawl of one instance ended early: what it found says nothing about the rest.
struct InconclusiveError: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }

    /// A sentence for a report.
    static func reason(_ error: any Error, instance: String? = nil) -> String {
        switch error {
        case let error as BridgeClientError: error.description
        case let error as InconclusiveError: error.description
        // The instance does not matter: all of them ask the same store, and one sentence is enough.
        case let error as StoreError: "\(error)"
        case is CancellationError: "the verification was cancelled"
        default: "\(instance.map { "\($0): " } ?? "")\(error)"
        }
    }
}
