import Foundation
import NIOCore
import NIOPosix
import Synchronization
import UnstickConfiguration
import UnstickCoordinator
import UnstickCore

/// Looks at the configuration file and at discovered names again and again, for the coordinator.
final class InstanceWatch: Sendable {
    private struct State {
        /// What the file says, as of the last time it could be read.
        var configured: [RoutingTable.Instance]
        var discoveries: [Configuration.Discovery]
        /// By host name; addresses of a name that is not configured any more are forgotten.
        var histories: [String: DiscoveryHistory] = [:]
    }

    typealias Resolver = @Sendable (_ host: String, _ port: Int) async throws -> [String]

    private let file: String
    private let watchesFile: Bool
    private let resolve: Resolver
    private let load: @Sendable (String) throws -> Configuration
    private let state: Mutex<State>

    /// Nil when nothing is to be looked at.
    static func source(_ configuration: Configuration) -> InstanceSource? {
        guard configuration.coordinator.watchInstances || !configuration.discoveries.isEmpty else { return nil }
        let watch = InstanceWatch(configuration)
        return InstanceSource(interval: configuration.coordinator.watchInterval) { await watch.look() }
    }

    init(
        _ configuration: Configuration, resolve: @escaping Resolver = InstanceWatch.systemResolver,
        load: @escaping @Sendable (String) throws -> Configuration = { try Configuration.load(path: $0) }
    ) {
        file = configuration.file
        watchesFile = configuration.coordinator.watchInstances
        self.resolve = resolve
        self.load = load
        state = Mutex(
            State(configured: configuration.tableInstances, discoveries: configuration.discoveries))
    }

    /// What is wanted now. A file with mistakes and a name that cannot be resolved change nothing; what the others say
    /// counts all the same.
    func look() async -> InstanceSource.Answer {
        var reasons: [String] = []
        if watchesFile {
            do {
                let configuration = try load(file)
                state.withLock { state in
                    state.configured = configuration.tableInstances
                    state.discoveries = configuration.discoveries
                }
            } catch {
                reasons.append("\(error)")
            }
        }
        let discoveries = state.withLock { $0.discoveries }
        for discovery in discoveries {
            do {
                let answer = try await resolve(discovery.host, discovery.port)
                state.withLock { $0.histories[discovery.host, default: DiscoveryHistory()].note(answer) }
                if answer.isEmpty { reasons.append("\(discovery.host) has no address") }
            } catch {
                reasons.append("\(discovery.host) cannot be resolved: \(error)")
            }
        }
        let (wanted, isUnheard) = state.withLock { state in
            state.histories = state.histories.filter { entry in state.discoveries.contains { $0.host == entry.key } }
            // Before a name has answered once nobody knows which of the table's instances are its.
            let isUnheard = state.discoveries.contains { state.histories[$0.host]?.addresses.isEmpty ?? true }
            return (Self.wanted(state.configured, state.discoveries, state.histories), isUnheard)
        }
        if isUnheard || (wanted.isEmpty && !reasons.isEmpty) {
            return .unknown(reason: reasons.joined(separator: "; "))
        }
        return .wanted(wanted)
    }

    private static func wanted(
        _ configured: [RoutingTable.Instance], _ discoveries: [Configuration.Discovery],
        _ histories: [String: DiscoveryHistory]
    ) -> [RoutingTable.Instance] {
        var wanted = configured
        for discovery in discoveries {
            for address in histories[discovery.host]?.addresses ?? [] {
                guard let instance = discovery.instance(at: address),
                    !wanted.contains(where: { $0.name == instance.name || $0.url == instance.url })
                else { continue }
                wanted.append(
                    RoutingTable.Instance(name: instance.name, url: instance.url, weight: instance.weight))
            }
        }
        return wanted
    }

    /// `getaddrinfo`, on a thread where it may wait.
    static let systemResolver: Resolver = { host, port in
        try await NIOThreadPool.singleton.runIfActive {
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            let status = getaddrinfo(host, String(port), &hints, &list)
            guard status == 0 else { throw ResolverError(reason: String(cString: gai_strerror(status))) }
            defer { freeaddrinfo(list) }
            var addresses: Set<String> = []
            var next = list
            while let entry = next {
                var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                if getnameinfo(
                    entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0,
                    NI_NUMERICHOST) == 0
                {
                    addresses.insert(
                        String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
                }
                next = entry.pointee.ai_next
            }
            return addresses.sorted()
        }
    }

    struct ResolverError: Error, CustomStringConvertible {
        var reason: String
        var description: String { reason }
    }
}
