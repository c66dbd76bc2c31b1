extension Configuration {
    /// Every key with its default, the values it takes and its meaning: a page of Markdown, a section per subject with an
    /// example each.
    ///
    /// The fenced blocks begin with `yaml unstick`, so that tests find them.
    public static func reference() -> String {
        let rows = ConfigurationReferenceRow.all()
        var page = heading
        for (index, section) in ConfigurationSection.all.enumerated() {
            page += """

                ## \(section.title)

                \(section.text)

                ```yaml unstick
                \(section.example)
                ```

                | key | default | value | meaning |
                |---|---|---|---|

                """
            for row in rows where ConfigurationSection.index(of: row.key) == index { page += "\(row)\n" }
        }
        return page
    }

    private static var heading: String {
        let contents = ConfigurationSection.all.map { "[\($0.title)](#\($0.anchor))" }.joined(separator: " ·\n")
        return """
            # Configuration reference

            Every key of `unstick.yaml`. Only `instances` must be given; everything else has the default that is shown. The
            examples show a section each and assume that `instances` stands in the same file. `unstick check unstick.yaml`
            reports every mistake at once. This page is what `unstick check --reference` prints.

            | kind of value | how it is written |
            |---|---|
            | duration | a whole number and its unit, without a space: `500ms`, `2s`, `30m`, `4h`, `1d`; `0` needs no unit |
            | size | likewise, in bytes: `512B`, `64KiB`, `16MiB`, `1GiB`, or decimal `kB`, `MB`, `GB` |
            | percentage | `20%` |
            | rate | requests: `100/s`, `10/m`, `1000/h`; bytes: `1KiB/s` |
            | address | `ADDRESS:PORT`: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; `0.0.0.0` and `[::]` are all of a machine's |
            | file | a path, relative to the folder of the configuration file |
            | `null`, `none` | the word that switches something off |

            \(contents)

            """
    }
}

/// One line of the reference's tables.
struct ConfigurationReferenceRow: CustomStringConvertible {
    var key: String
    var standard: String
    var expected: String
    var meaning: String

    private init<Root>(_ key: ConfigurationKey<Root>, of list: String? = nil, defaults: Root) {
        self.key = list.map { "\($0)[].\(key.path)" } ?? key.path
        standard = key.defaultText(defaults)
        expected = ValueExamples.all.reduce(key.expected) { $0.replacing($1, with: "") }
        meaning = key.meaning
    }

    /// In the order of the tables; the keys of a list's elements behind the list.
    static func all() -> [ConfigurationReferenceRow] {
        let host = ConfigurationHost(name: nil, cores: 1) { _ throws(ConfigurationHost.FileRefusal) in
            throw ConfigurationHost.FileRefusal(reason: "not read here")
        }
        let draft = ConfigurationDraft(file: "unstick.yaml", host: host)
        return ConfigurationTable.file(nil).keys.flatMap { key in
            [ConfigurationReferenceRow(key, defaults: draft)] + elements(of: key.path)
        }
    }

    private static func elements(of list: String) -> [ConfigurationReferenceRow] {
        switch list {
        case "instances": rows(ConfigurationTable.instance, of: list, InstanceDraft())
        case "affinity.adopt": rows(ConfigurationTable.adopted, of: list, AdoptedDraft())
        case "tls.certificates": rows(ConfigurationTable.certificate, of: list, CertificateDraft())
        case "rate-limits": rows(ConfigurationTable.rateLimit, of: list, RateLimitDraft())
        default: []
        }
    }

    private static func rows<Root>(
        _ table: ConfigurationTable<Root>, of list: String, _ defaults: Root
    ) -> [ConfigurationReferenceRow] {
        table.keys.map { ConfigurationReferenceRow($0, of: list, defaults: defaults) }
    }

    /// A bar would end the cell.
    var description: String {
        "| `\(key)` | `\(standard)` | \(expected.replacing("|", with: "\\|")) | \(meaning.replacing("|", with: "\\|")) |"
    }
}
