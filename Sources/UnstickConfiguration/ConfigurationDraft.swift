internal import UnstickCore
internal import Yams

/// A configuration while it is read: defaults, then what the file says. Not yet checked as a whole.
struct ConfigurationDraft {
    var configuration: Configuration
    /// As given, elements with mistakes included.
    var instances: [InstanceDraft] = []
    /// As given.
    var adopted: [AdoptedDraft] = []

    init(file: String, host: ConfigurationHost) {
        configuration = .defaults(file: file, host: host)
    }
}

/// An element of `instances`. Name and URL have no default.
struct InstanceDraft {
    var name: String?
    var location: InstanceLocation?
    var weight = 1
    /// In place of a URL: a name whose addresses are instances, and their port.
    var discover: String?
    var port: Int?

    var endpoint: SocketEndpoint? { location?.endpoint }
}

extension Configuration {
    /// What an empty file means, if it were allowed: no instances, no secrets, paths unresolved.
    static func defaults(file: String, host: ConfigurationHost) -> Configuration {
        Configuration(
            file: file,
            listen: SocketEndpoint(host: "127.0.0.1", port: 8080),
            admin: SocketEndpoint(host: "127.0.0.1", port: 9090),
            instances: [],
            discoveries: [],
            affinity: Affinity(
                method: .cookie,
                cookie: "UNSTICK",
                parameter: nil,
                adopt: [],
                secure: .auto,
                sameSite: .lax,
                path: "/",
                domain: nil,
                maxAge: nil
            ),
            session: Session(
                cookie: "session", urlParameter: nil, header: nil, ttl: .seconds(1800), concurrency: .merge),
            bridge: Bridge(secretFile: "bridge.key", secret: Secret(bytes: [])),
            store: Store(location: .sqlite(path: "unstick.db"), layout: .envelope),
            balance: .leastConnections,
            slowStart: SlowStart(),
            health: Health(path: "/healthz", interval: .seconds(2), timeout: .seconds(1), rise: 2, fall: 3),
            migration: Migration(name: "migration", onStoreError: .serve),
            limits: Limits(
                head: 64 << 10,
                target: 8 << 10,
                fields: 128,
                body: nil,
                replay: 1 << 20,
                connections: 20_000,
                upstreamConnections: 256,
                state: 16 << 20
            ),
            timeouts: Timeouts(
                connect: .seconds(2),
                response: .seconds(60),
                idle: .seconds(75),
                clientHead: .seconds(15),
                store: .seconds(5),
                shutdown: .seconds(30)
            ),
            proxy: Proxy(
                name: proxyName(hostName: host.name),
                threads: min(256, max(1, host.cores)),
                coordinator: nil,
                admin: nil
            ),
            coordinator: Coordinator(
                journal: "unstick-journal.db",
                acknowledgeTimeout: .seconds(60),
                verifyPasses: 50,
                silence: .seconds(5),
                soakTime: .zero,
                requireRehearsal: false,
                watchInstances: false,
                watchInterval: .seconds(5)
            ),
            trustedProxies: [],
            forwarding: Forwarding(),
            listenProxyProtocol: .off,
            listenProxyProtocolFrom: [],
            adminTokenFile: nil,
            adminToken: nil,
            log: Log(),
            accessLog: AccessLog(),
            requestID: RequestID(),
            tracing: Tracing()
        )
    }

    /// `proxy-HOSTNAME`, characters that names must not have left out.
    private static func proxyName(hostName: String?) -> String {
        let kept = (hostName ?? "").unicodeScalars.filter { scalar in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": true
            default: false
            }
        }
        let name = String(String.UnicodeScalarView(kept.prefix(58)))
        return name.isEmpty ? "proxy-1" : "proxy-\(name)"
    }
}

extension ConfigurationTable where Root == ConfigurationDraft {
    /// Reads the whole document.
    static func read(_ document: YAMLDocument, into draft: inout ConfigurationDraft, log: inout ProblemLog) {
        switch document.root {
        case .mapping(let mapping)?:
            file(document).read(mapping, of: document, into: &draft, log: &log)
        case .scalar? where document.root?.scalarText?.isNull == true:
            break
        case nil:
            break
        case let root?:
            log.report("", at: root.place, "is \(root.shape); expected a mapping such as 'listen: 127.0.0.1:8080'")
        }
    }
}

extension ValueKind where Value == [InstanceDraft] {
    static let instancesLimit = 1000

    static func instances(of document: YAMLDocument?) -> ValueKind {
        let expected = "a list of { name, url, weight }, 1 to \(instancesLimit)"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard case .sequence(let sequence) = node, let document else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                guard (1...instancesLimit).contains(sequence.count) else {
                    log.report(keyPath, at: node.place, "has \(sequence.count) entries; expected \(expected)")
                    return nil
                }
                return sequence.enumerated().map { index, element in
                    let path = "\(keyPath)[\(index)]"
                    log.note(path, at: element.place)
                    var instance = InstanceDraft()
                    guard case .mapping(let mapping) = element else {
                        log.report(
                            path,
                            at: element.place,
                            "is \(element.shape); expected { name: NAME, url: http://HOST:PORT }"
                        )
                        return instance
                    }
                    ConfigurationTable.instance.read(mapping, of: document, prefix: path, into: &instance, log: &log)
                    let isDiscovery = log.isGiven("\(path).discover")
                    let shape =
                        isDiscovery
                        ? "{ discover: HOST, port: PORT, name: NAME }" : "{ name: NAME, url: http://HOST:PORT }"
                    for name in ["name", isDiscovery ? "port" : "url"] where !log.isGiven("\(path).\(name)") {
                        log.report(path, at: element.place, "has no \(name); expected \(shape)")
                    }
                    return instance
                }
            },
            format: { _ in "required" }
        )
    }
}
