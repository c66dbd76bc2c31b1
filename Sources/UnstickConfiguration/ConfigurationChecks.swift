/// What no single key can tell: rules across keys, and the files that keys name.
///
/// Each rule leaves a key alone that was already reported; its value is then the default, not what the operator meant.
struct ConfigurationChecks {
    let host: ConfigurationHost
    /// The configuration file's folder; empty for the working directory.
    let folder: String

    init(file: String, host: ConfigurationHost) {
        self.host = host
        folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
    }

    /// Completes the draft: instances, paths and secrets.
    func complete(_ draft: ConfigurationDraft, _ log: inout ProblemLog) -> Configuration {
        var configuration = draft.configuration
        configuration.instances = checkInstances(draft.instances, configuration, &log)
        configuration.discoveries = checkDiscoveries(draft.instances, &log)
        checkWeights(configuration, &log)
        configuration.affinity.adopt = checkAdopted(draft.adopted, configuration, &log)
        checkAffinityCookie(configuration, &log)
        checkAddresses(configuration, &log)
        checkCookies(configuration, &log)
        checkQuantities(configuration, &log)
        checkResilience(configuration, &log)
        checkForwarding(configuration, &log)
        readSecrets(&configuration, &log)
        configuration.coordinator.journal = resolve(configuration.coordinator.journal)
        if case .sqlite(let path) = configuration.store.location {
            configuration.store.location = .sqlite(path: resolve(path))
        }
        checkDatabases(configuration, &log)
        checkObservation(&configuration, &log)
        completeTLS(&configuration, &log)
        return configuration
    }

    func resolve(_ path: String) -> String { path.hasPrefix("/") ? path : folder + path }

    private func checkInstances(
        _ drafts: [InstanceDraft],
        _ configuration: Configuration,
        _ log: inout ProblemLog
    ) -> [Configuration.Instance] {
        if !log.isGiven("instances") {
            log.report("instances", value: nil, "is missing; expected a list of { name: NAME, url: http://HOST:PORT }")
        }
        var names: [String: Int] = [:]
        var endpoints: [SocketEndpoint: Int] = [:]
        for (index, draft) in drafts.enumerated() {
            if let name = draft.name {
                if let first = names[name] {
                    log.report(
                        "instances[\(index)].name",
                        value: name,
                        "'\(name)' is already the name of instances[\(first)]"
                    )
                } else {
                    names[name] = index
                }
            }
            guard let endpoint = draft.endpoint else { continue }
            let key = "instances[\(index)].url"
            let url = draft.location.map { "\($0)" } ?? ""
            if let first = endpoints[endpoint] {
                log.report(key, value: url, "'\(url)' is already the URL of instances[\(first)]")
            } else {
                endpoints[endpoint] = index
            }
            for (other, own) in [("listen", configuration.listen), ("admin", configuration.admin)] where own == endpoint
            {
                log.report(
                    key,
                    value: url,
                    "'\(url)' is this process's own '\(other)' address; requests would go in circles"
                )
            }
        }
        return drafts.compactMap { draft in
            guard draft.discover == nil, let name = draft.name, let location = draft.location else { return nil }
            return Configuration.Instance(
                name: name, endpoint: location.endpoint, weight: draft.weight, isSecure: location.isSecure)
        }
    }

    private func checkAddresses(_ configuration: Configuration, _ log: inout ProblemLog) {
        let (listen, admin) = (configuration.listen, configuration.admin)
        if !log.isRefused("listen"), !log.isRefused("admin"), overlap(listen, admin) {
            let key = log.isGiven("admin") ? "admin" : "listen"
            log.report(key, value: "\(admin)", "'\(admin)' cannot be bound: 'listen' and 'admin' need different ports")
        }
        if let own = configuration.proxy.admin, !log.isRefused("listen"), overlap(listen, own) {
            log.report(
                "proxy.admin",
                value: "\(own)",
                "'\(own)' cannot be bound: 'listen' and 'proxy.admin' need different ports"
            )
        }
        guard configuration.adminTokenFile == nil, !log.isRefused("admin-token-file") else { return }
        for (key, address) in [("admin", admin), ("proxy.admin", configuration.proxy.admin)] {
            guard let address, !address.isLoopback, !log.isRefused(key) else { continue }
            log.report(
                key,
                value: "\(address)",
                "'\(address)' can be reached from other machines without a token; expected a loopback address, or admin-token-file"
            )
        }
    }

    /// Whether both cannot be bound at once.
    func overlap(_ left: SocketEndpoint, _ right: SocketEndpoint) -> Bool {
        let everywhere = ["0.0.0.0", "::"]
        return left.port == right.port
            && (left.host == right.host || everywhere.contains(left.host) || everywhere.contains(right.host))
    }

    private func checkCookies(_ configuration: Configuration, _ log: inout ProblemLog) {
        let (affinity, session) = (configuration.affinity, configuration.session)
        if session.cookie == nil, session.urlParameter == nil, session.header == nil,
            !["cookie", "url-parameter", "header"].contains(where: { log.isRefused("session.\($0)") })
        {
            log.report(
                "session.cookie",
                value: nil,
                "is null; expected the session id's place: cookie, url-parameter or header"
            )
        }
        if affinity.method == .urlParameter, affinity.parameter == nil, !log.isRefused("affinity.parameter") {
            log.report(
                "affinity.method",
                value: "url-parameter",
                "'url-parameter' needs affinity.parameter, the parameter's name"
            )
        }
        if affinity.cookie == session.cookie, !log.isRefused("affinity.cookie"), !log.isRefused("session.cookie") {
            let key = log.isGiven("affinity.cookie") ? "affinity.cookie" : "session.cookie"
            log.report(
                key,
                value: affinity.cookie,
                "'\(affinity.cookie)' is the name of both cookies; affinity and session need different ones"
            )
        }
        if affinity.sameSite == .none, affinity.secure == .never {
            log.report(
                "affinity.same-site",
                value: "None",
                "'None' is ignored by browsers without Secure; expected affinity.secure: auto or true"
            )
        }
    }

    private func checkQuantities(_ configuration: Configuration, _ log: inout ProblemLog) {
        let (limits, health) = (configuration.limits, configuration.health)
        if limits.target > limits.head, !log.isRefused("limits.target"), !log.isRefused("limits.head") {
            let shown = Quantity.size(limits.target)
            log.report(
                log.isGiven("limits.target") ? "limits.target" : "limits.head",
                value: shown,
                "limits.target, '\(shown)', is above limits.head, '\(Quantity.size(limits.head))', which contains it"
            )
        }
        if health.timeout > health.interval, !log.isRefused("health.timeout"), !log.isRefused("health.interval") {
            let shown = Quantity.duration(health.timeout)
            log.report(
                log.isGiven("health.timeout") ? "health.timeout" : "health.interval",
                value: shown,
                "health.timeout, '\(shown)', is above health.interval, '\(Quantity.duration(health.interval))'"
            )
        }
    }

    private func checkDatabases(_ configuration: Configuration, _ log: inout ProblemLog) {
        guard case .sqlite(let path) = configuration.store.location, path == configuration.coordinator.journal else {
            return
        }
        let key = log.isGiven("coordinator.journal") ? "coordinator.journal" : "store.url"
        log.report(
            key,
            value: path,
            "'\(ShownValue.text(path))' is both the store and the journal; they need different files"
        )
    }

    private func readSecrets(_ configuration: inout Configuration, _ log: inout ProblemLog) {
        if !log.isRefused("bridge.secret-file") {
            let given = configuration.bridge.secretFile
            configuration.bridge.secretFile = resolve(given)
            if let secret = readSecret(given, "bridge.secret-file", &log) { configuration.bridge.secret = secret }
        }
        if let given = configuration.adminTokenFile, !log.isRefused("admin-token-file") {
            configuration.adminTokenFile = resolve(given)
            configuration.adminToken = readSecret(given, "admin-token-file", &log)
            if let token = configuration.adminToken, !token.bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) {
                let shown = ShownValue.text(given)
                log.report(
                    "admin-token-file",
                    value: shown,
                    "'\(shown)' holds something else than visible ASCII, which no header can carry"
                )
            }
        }
    }

    static let secretBytesMin = 32

    /// The file's content without final line breaks, as the bridges read it.
    func readSecret(
        _ given: String, _ key: String, bytesMin: Int = ConfigurationChecks.secretBytesMin, _ log: inout ProblemLog
    ) -> Secret? {
        let path = resolve(given)
        let shown = ShownValue.text(given)
        let word = ShellWord.quoted(path)
        let make = "make one with (umask 077; openssl rand -hex 32 > \(word))"
        let content: ConfigurationHost.FileContent
        do throws(ConfigurationHost.FileRefusal) {
            content = try host.read(path)
        } catch {
            let place = path == given ? "" : " at \(ShownValue.text(path))"
            log.report(key, value: shown, "'\(shown)' cannot be read\(place): \(error.reason)", suggestion: make)
            return nil
        }
        if content.mode & 0o077 != 0 {
            let mode = "0" + String(content.mode & 0o777, radix: 8)
            log.report(
                key,
                value: shown,
                "'\(shown)' is open to other users (mode \(mode)); expected 0600",
                suggestion: "run chmod 600 \(word)"
            )
        }
        var bytes = content.bytes[...]
        while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
        guard bytes.count >= bytesMin else {
            log.report(
                key,
                value: shown,
                "'\(shown)' holds \(bytes.count) bytes; expected at least \(bytesMin)",
                suggestion: make
            )
            return nil
        }
        return Secret(bytes: Array(bytes))
    }
}

/// Text for people to paste into a shell.
enum ShellWord {
    static func quoted(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            default: "/._-+:,@%".utf8.contains(byte)
            }
        }
        return plain && !text.isEmpty && text.first != "-" ? text : "'" + text.replacing("'", with: "'\\''") + "'"
    }
}
