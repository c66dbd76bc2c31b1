internal import UnstickCore
internal import Yams

extension ConfigurationTable where Root == ConfigurationDraft {
    /// Affinity, and the session's place in a request.
    static func affinityKeys(_ document: YAMLDocument?) -> [ConfigurationKey<ConfigurationDraft>] {
        typealias Key = ConfigurationKey<ConfigurationDraft>
        let longest: Duration = .seconds(86400 * 400)
        return [
            Key(
                "affinity.method", .word(Configuration.Affinity.Method.allCases), \.configuration.affinity.method,
                "How clients are pinned to their instance."),
            Key(
                "affinity.cookie", .cookieName, \.configuration.affinity.cookie,
                "Name of the affinity cookie; another than `session.cookie`."),
            Key(
                "affinity.parameter", .optional(.parameterName), \.configuration.affinity.parameter,
                "Path or query parameter that names the instance; needed by the method `url-parameter`."),
            Key(
                "affinity.adopt", .adopted(of: document), \.adopted,
                "Affinities of other balancers to understand; the first that fits wins, ours before all."),
            Key(
                "affinity.secure", .word(Configuration.Affinity.SecureAttribute.allCases),
                \.configuration.affinity.secure,
                "The affinity cookie's `Secure`; `auto`: when the client's connection is TLS."),
            Key(
                "affinity.same-site", .word(Configuration.Affinity.SameSite.allCases),
                \.configuration.affinity.sameSite,
                "The affinity cookie's `SameSite`; `None` is left out where `Secure` is, because browsers refuse the two."
            ),
            Key("affinity.path", .cookiePath, \.configuration.affinity.path, "The affinity cookie's `Path`."),
            Key(
                "affinity.domain", .optional(.domain), \.configuration.affinity.domain,
                "The affinity cookie's `Domain`; `null`: the host that the client asked for."),
            Key(
                "affinity.max-age", .optional(.duration(.seconds(1)...longest)), \.configuration.affinity.maxAge,
                "The affinity cookie's `Max-Age`; `null`: until the client is closed."),
            Key(
                "session.cookie", .optional(.cookieName), \.configuration.session.cookie,
                "The application's session cookie; `null` when the id never stands in one."),
            Key(
                "session.url-parameter", .optional(.parameterName), \.configuration.session.urlParameter,
                "Path or query parameter with the session id, such as `jsessionid`."),
            Key(
                "session.header", .optional(.fieldName), \.configuration.session.header,
                "Request header with the session id."),
        ]
    }
}

/// An element of `affinity.adopt`.
struct AdoptedDraft {
    var cookie: String?
    var parameter: String?
    var format: Configuration.Adopted.Format?
    var servers: [Configuration.Adopted.Server] = []
    var keyFile: String?
    var backend: String?
}

extension ConfigurationTable where Root == AdoptedDraft {
    static var adopted: ConfigurationTable {
        ConfigurationTable(keys: [
            ConfigurationKey("cookie", .optional(.cookieName), \.cookie, "The cookie that carries it."),
            ConfigurationKey(
                "parameter", .optional(.parameterName), \.parameter,
                "The path or query parameter that carries it, such as `jsessionid`."),
            ConfigurationKey(
                "format", required(.word(Configuration.Adopted.Format.allCases)), \.format, default: "required",
                "How the other balancer writes it."),
            ConfigurationKey(
                "map", .servers, \.servers,
                "What the other balancer calls its servers (name, address or URL, as it was configured there), and the "
                    + "instances that they are; empty: the instances' own names and addresses."),
            ConfigurationKey(
                "key-file", .optional(.filePath), \.keyFile,
                "File with `dynamic-cookie-key` or Caddy's secret, readable by its owner only."),
            ConfigurationKey(
                "backend", .optional(.backendName), \.backend,
                "`ingress-nginx`: the backend's name, `NAMESPACE-SERVICE-PORT`."),
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

extension ValueKind where Value == [AdoptedDraft] {
    static func adopted(of document: YAMLDocument?) -> ValueKind {
        let example = "{ cookie: SERVERID, format: haproxy-insert, map: { s1: web-1 } }"
        let expected = "a list of { cookie, format, map }, at most 16"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard case .sequence(let sequence) = node, let document else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                guard sequence.count <= 16 else {
                    log.report(keyPath, at: node.place, "has \(sequence.count) entries; expected \(expected)")
                    return nil
                }
                return sequence.enumerated().map { index, element in
                    let path = "\(keyPath)[\(index)]"
                    log.note(path, at: element.place)
                    var draft = AdoptedDraft()
                    guard case .mapping(let mapping) = element else {
                        log.report(path, at: element.place, "is \(element.shape); expected \(example)")
                        return draft
                    }
                    ConfigurationTable.adopted.read(mapping, of: document, prefix: path, into: &draft, log: &log)
                    return draft
                }
            },
            format: { _ in "[]" }
        )
    }
}

extension ValueKind where Value == [Configuration.Adopted.Server] {
    static var servers: ValueKind {
        let expected = "a mapping of the other balancer's names to instances, at most 1000"
        return ValueKind(
            expected: expected,
            read: { node, keyPath, log in
                guard case .mapping(let mapping) = node, mapping.count <= 1000 else {
                    log.report(keyPath, at: node.place, "is \(node.shape); expected \(expected)")
                    return nil
                }
                var servers: [Configuration.Adopted.Server] = []
                for (key, value) in mapping {
                    guard let name = key.scalarText?.text, !name.isEmpty, name.utf8.count <= 512,
                        let instance = value.scalarText?.text
                    else {
                        log.report(keyPath, at: key.place, "has \(key.shape): \(value.shape); expected \(expected)")
                        return nil
                    }
                    log.note("\(keyPath).\(name)", at: value.place)
                    servers.append(Configuration.Adopted.Server(name: name, instance: instance))
                }
                return servers
            },
            format: { _ in "{}" }
        )
    }
}
