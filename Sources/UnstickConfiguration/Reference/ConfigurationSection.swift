/// A part of the reference: keys that belong together, what they are about, and an example.
struct ConfigurationSection {
    let title: String
    /// What the keys have in common; a sentence or two of Markdown.
    let text: String
    /// Key paths, or their beginnings: `tls` stands for `tls` and everything below it. The longest that fits a key, in any
    /// section, has it.
    let paths: [String]
    /// A configuration in YAML with the section's keys, without its `instances` where they are not the point.
    let example: String

    /// In the order of the page: from what every file has to what few need.
    static let all: [ConfigurationSection] = [
        addresses, instances, affinity, adoptedAffinity, session, store, migration, proxies, balance, health, tls,
        http2,
        upstreamTLS, clients, limits, greed, rateLimits, timeouts, retries, breaker, ejection, logs, identification,
    ]

    /// The section that has a key; nil when none has, which a test refuses.
    static func index(of key: String) -> Int? {
        var best: (index: Int, length: Int)?
        for (index, section) in all.enumerated() {
            for path in section.paths where key == path || key.hasPrefix(path + ".") || key.hasPrefix(path + "[]") {
                if path.count > best?.length ?? 0 { best = (index, path.count) }
            }
        }
        return best?.index
    }

    /// As GitHub makes it of the title.
    var anchor: String { title.lowercased().replacing(" ", with: "-").replacing("/", with: "") }
}
