internal import UnstickCore

extension ConfigurationTable where Root == InstanceDraft {
    /// The keys of one element of `instances`.
    static var instance: ConfigurationTable {
        ConfigurationTable(keys: [
            ConfigurationKey(
                "name",
                required(.name),
                \.name,
                default: "required",
                "The instance's name, the same over restarts; distinct. With `discover`: how the names of the instances "
                    + "found begin, up to 48 bytes."
            ),
            ConfigurationKey(
                "url", required(.instanceURL), \.location, default: "required", "Where it listens; distinct."),
            ConfigurationKey(
                "weight", .count(0...1000), \.weight,
                "Its share of new sessions, relative to the others'; 0: none. Counts in the weighted balances."),
            ConfigurationKey(
                "discover", .optional(.discoveredHost), \.discover,
                "In place of `url`: a host name whose every address is an instance, called `NAME-ADDRESS`; asked again "
                    + "every `coordinator.watch-interval`. An address that is gone is drained."),
            ConfigurationKey(
                "port", .optional(.count(1...65535)), \.port, "With `discover`: where the instances found listen."),
        ])
    }

    private static func required<Value>(_ kind: ValueKind<Value>) -> ValueKind<Value?> {
        ValueKind(
            expected: kind.expected,
            read: { node, keyPath, log in kind.read(node, keyPath, &log).map { .some($0) } },
            format: { _ in "required" }
        )
    }
}

extension ConfigurationTable where Root == ConfigurationDraft {
    /// Every key of the file.
    static func file(_ document: YAMLDocument?) -> ConfigurationTable {
        ConfigurationTable(
            keys: processKeys + forwardingKeys + tlsKeys(document) + instanceKeys(document) + affinityKeys(document)
                + sessionKeys + storeKeys + balanceKeys + healthKeys + limitKeys + timeoutKeys
                + resilienceKeys(document) + planeKeys + observationKeys)
    }

    private typealias Key = ConfigurationKey<ConfigurationDraft>

    private static let longest: Duration = .seconds(86400)

    private static var processKeys: [Key] {
        [
            Key("listen", .listenAddress, \.configuration.listen, "Where clients connect."),
            Key(
                "admin", .listenAddress, \.configuration.admin,
                "API, status page, `/metrics` and `/healthz`. Needs `admin-token-file` unless it is a loopback address."
            ),
            Key(
                "admin-token-file", .optional(.filePath), \.configuration.adminTokenFile,
                "File with the bearer token of the API, at least 32 bytes, readable by its owner only."),
        ]
    }

    private static func instanceKeys(_ document: YAMLDocument?) -> [Key] {
        [
            Key("instances", .instances(of: document), \.instances, "The application's instances.")
        ]
    }

    private static var sessionKeys: [Key] {
        [
            Key(
                "session.ttl", .duration(.seconds(1)...longest * 400), \.configuration.session.ttl,
                "How long a session lives without a request, where the application does not say."),
            Key(
                "session.concurrency", .word(Configuration.Session.Concurrency.allCases),
                \.configuration.session.concurrency,
                "What happens when two instances change one session at once: three-way merge by top-level key, one "
                    + "request at a time, or the last write wins."),
        ]
    }

    private static var storeKeys: [Key] {
        [
            Key(
                "bridge.secret-file", .filePath, \.configuration.bridge.secretFile,
                "File with the secret that proxy and bridges share, at least 32 bytes, readable by its owner only. "
                    + "Relative to the configuration's folder, like every path."),
            Key("store.url", .storeURL, \.configuration.store.location, "Where sessions are externalized to."),
            Key(
                "store.layout",
                .word(Configuration.Store.Layout.allCases, unavailable: "is a layout that is not available yet"),
                \.configuration.store.layout, "How records are laid out in the store."),
        ]
    }

    private static var limitKeys: [Key] {
        [
            Key(
                "limits.head",
                .size(1 << 10...1 << 20),
                \.configuration.limits.head,
                "Largest request or response head."
            ),
            Key(
                "limits.target", .size(256...64 << 10), \.configuration.limits.target,
                "Longest request target; not above `limits.head`."),
            Key("limits.fields", .count(16...1024), \.configuration.limits.fields, "Most header fields in a head."),
            Key(
                "limits.body", .optional(.size(0...1 << 50), word: "none"), \.configuration.limits.body,
                "Largest request body; `none`: unlimited."),
            Key(
                "limits.replay", .size(0...64 << 20), \.configuration.limits.replay,
                "Largest request body kept for a replay; requests with a longer one are hydrated first."),
            Key(
                "limits.connections", .count(1...1_000_000), \.configuration.limits.connections,
                "Most client connections of a proxy."),
            Key(
                "limits.upstream-connections", .count(1...65535), \.configuration.limits.upstreamConnections,
                "Most connections of a proxy to each instance."),
            Key(
                "limits.state",
                .size(1 << 10...256 << 20),
                \.configuration.limits.state,
                "Largest serialized session."
            ),
        ]
    }

    private static var planeKeys: [Key] {
        [
            Key(
                "migration.name", .name, \.configuration.migration.name, "What the operator types to complete it."),
            Key(
                "migration.on-store-error", .word([.serve, .refuse]), \.configuration.migration.onStoreError,
                "What phase `mirroring` does when the store cannot be written: serve and repair later, or answer 503."),
            Key(
                "proxy.name", .name, \.configuration.proxy.name, default: "proxy-HOSTNAME",
                "Distinct among the proxies of one coordinator."),
            Key(
                "proxy.threads", .count(1...256), \.configuration.proxy.threads, default: "number of cores",
                "Event loops."),
            Key(
                "proxy.coordinator", .optional(.httpURL), \.configuration.proxy.coordinator,
                "The coordinator's API; needed by `unstick proxy`, without meaning for `unstick up`."),
            Key(
                "coordinator.journal", .filePath, \.configuration.coordinator.journal, "The journal's SQLite file."),
            Key(
                "coordinator.acknowledge-timeout", .duration(.seconds(1)...longest),
                \.configuration.coordinator.acknowledgeTimeout, "How long an epoch may wait for every proxy."),
            Key(
                "coordinator.verify-passes", .count(1...10_000), \.configuration.coordinator.verifyPasses,
                "How often verification rechecks sessions that changed meanwhile."),
            Key(
                "coordinator.silence", .duration(.seconds(1)...(.seconds(3600))), \.configuration.coordinator.silence,
                "How long a proxy may be silent before it is shown as gone."),
            Key(
                "coordinator.soak-time", .duration(.zero...longest * 400), \.configuration.coordinator.soakTime,
                "Time at 100 % before `complete` is allowed."),
            Key(
                "coordinator.require-rehearsal", .truth, \.configuration.coordinator.requireRehearsal,
                "Whether `switch` demands a rehearsed rollback."),
        ]
    }
}
