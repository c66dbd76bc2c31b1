/// What the affinity's keys have to do with each other and with the instances.
extension ConfigurationChecks {
    func checkAffinityCookie(_ configuration: Configuration, _ log: inout ProblemLog) {
        let affinity = configuration.affinity
        // RFC 6265bis section 4.1.3: browsers refuse a cookie that breaks its prefix's promise; they ignore its case.
        let name = affinity.cookie.lowercased()
        guard name.hasPrefix("__host-") || name.hasPrefix("__secure-"), !log.isRefused("affinity.cookie") else {
            return
        }
        var demands: [String] = []
        if affinity.secure != .always { demands.append("affinity.secure: true") }
        if name.hasPrefix("__host-") {
            if affinity.path != "/" { demands.append("affinity.path: /") }
            if affinity.domain != nil { demands.append("no affinity.domain") }
        }
        guard !demands.isEmpty else { return }
        log.report(
            "affinity.cookie", value: affinity.cookie,
            "'\(affinity.cookie)' is refused by browsers unless it keeps what its prefix promises; expected "
                + demands.joined(separator: ", "))
    }

    func checkAdopted(
        _ drafts: [AdoptedDraft], _ configuration: Configuration, _ log: inout ProblemLog
    ) -> [Configuration.Adopted] {
        drafts.enumerated().compactMap { index, draft in
            let path = "affinity.adopt[\(index)]"
            guard !log.isRefused(path) else { return nil }
            guard let format = draft.format else {
                if !log.isGiven("\(path).format") { log.report(path, value: nil, "has no format") }
                return nil
            }
            var adopted = Configuration.Adopted(
                cookie: draft.cookie, parameter: draft.parameter, format: format, servers: draft.servers, keyFile: nil,
                key: nil, backend: draft.backend)
            checkPlace(adopted, path, configuration, &log)
            checkKey(draft, &adopted, path, &log)
            checkServers(adopted, path, configuration, &log)
            return adopted
        }
    }

    private func checkPlace(
        _ adopted: Configuration.Adopted, _ path: String, _ configuration: Configuration, _ log: inout ProblemLog
    ) {
        if adopted.cookie == nil, adopted.parameter == nil,
            !log.isRefused("\(path).cookie"), !log.isRefused("\(path).parameter")
        {
            log.report(path, value: nil, "has no place; expected cookie, parameter or both")
        }
        if let cookie = adopted.cookie {
            if cookie == configuration.affinity.cookie, configuration.affinity.method == .cookie {
                log.report(
                    "\(path).cookie", value: cookie,
                    "'\(cookie)' is affinity.cookie, the proxy's own; expected another name for one of them")
            }
            if cookie.hasPrefix("AWSALB") {
                log.report(
                    "\(path).cookie", value: cookie,
                    "'\(cookie)' is encrypted by the load balancer, and nobody else can read it; expected another cookie. "
                        + "Let weighted target groups with group stickiness send only new clients to Unstick instead")
            }
        }
        if adopted.format == .haproxyPrefix, adopted.parameter != nil {
            log.report(
                "\(path).parameter", value: adopted.parameter,
                "has no meaning with 'haproxy-prefix', which stands in a cookie only")
        }
    }

    private func checkKey(
        _ draft: AdoptedDraft, _ adopted: inout Configuration.Adopted, _ path: String, _ log: inout ProblemLog
    ) {
        switch (draft.format, draft.keyFile) {
        case (.haproxyDynamic, nil) where !log.isRefused("\(path).key-file"):
            log.report(path, value: nil, "has no key-file; 'haproxy-dynamic' needs the file with dynamic-cookie-key")
        case (.haproxyDynamic, let file?), (.caddy, let file?):
            adopted.keyFile = resolve(file)
            adopted.key = readSecret(file, "\(path).key-file", bytesMin: 1, &log)
        case (_, let file?):
            log.report(
                "\(path).key-file", value: ShownValue.text(file),
                "has no meaning here; only 'haproxy-dynamic' and 'caddy' hash with a key")
        case (_, nil): break
        }
        if draft.format == .ingressNginx, draft.backend == nil, !log.isRefused("\(path).backend") {
            log.report(path, value: nil, "has no backend; 'ingress-nginx' needs NAMESPACE-SERVICE-PORT")
        }
        if draft.format != .ingressNginx, let backend = draft.backend {
            log.report(
                "\(path).backend", value: ShownValue.text(backend),
                "has no meaning here; only 'ingress-nginx' needs it")
        }
    }

    private func checkServers(
        _ adopted: Configuration.Adopted, _ path: String, _ configuration: Configuration, _ log: inout ProblemLog
    ) {
        let expected = "expected ADDRESS:PORT"
        for server in adopted.servers {
            let key = "\(path).map.\(server.name)"
            let shown = ShownValue.text(server.instance)
            // Discovered instances are known later.
            if configuration.discoveries.isEmpty,
                !configuration.instances.contains(where: { $0.name == server.instance })
            {
                let near = NearestWord.nearest(to: server.instance, among: configuration.instances.map(\.name))
                log.report(
                    key, value: shown, "'\(shown)' is not the name of an instance",
                    suggestion: near.map { "did you mean '\($0)'?" })
            }
            if adopted.format.hashesAddress, !Self.isNumeric(server.name) {
                let name = ShownValue.text(server.name)
                log.report(key, value: name, "'\(name)' is not what this balancer hashes; \(expected)")
            }
        }
        guard adopted.servers.isEmpty, adopted.format.hashesAddress else { return }
        for instance in configuration.instances where instance.endpoint.address == nil {
            log.report(
                path, value: instance.url,
                "cannot work with '\(instance.url)': this balancer hashes addresses, not names; expected map: { "
                    + "ADDRESS:PORT: \(instance.name) }")
        }
    }

    private static func isNumeric(_ text: String) -> Bool {
        guard let endpoint = try? SocketEndpoint(parsing: text) else { return false }
        return endpoint.address != nil
    }
}
