internal import Yams

/// One key of the configuration: where it stands, what it may hold, where its value goes, and what people read about
/// it. The tables of these drive parsing, suggestions and the reference alike.
struct ConfigurationKey<Root> {
    /// Such as `session.ttl`; within a list's elements without the list's own path.
    let path: String
    /// Completes "expected …".
    let expected: String
    /// What it does; one sentence of Markdown.
    let meaning: String
    /// The default as it would be written, given a root that holds nothing but defaults.
    let defaultText: (Root) -> String
    /// Stores the node's value, or reports why it cannot.
    let read: (_ node: Node, _ keyPath: String, _ root: inout Root, _ log: inout ProblemLog) -> Void

    /// - Parameter shown: the default's wording where the machine decides it.
    init<Value>(
        _ path: String,
        _ kind: ValueKind<Value>,
        _ destination: WritableKeyPath<Root, Value>,
        default shown: String? = nil,
        _ meaning: String
    ) {
        self.path = path
        self.meaning = meaning
        expected = kind.expected
        defaultText = { shown ?? kind.format($0[keyPath: destination]) }
        read = { node, keyPath, root, log in
            guard let value = kind.read(node, keyPath, &log) else { return }
            root[keyPath: destination] = value
        }
    }
}

/// The keys of one mapping and what is below it.
struct ConfigurationTable<Root> {
    let keys: [ConfigurationKey<Root>]

    /// Walks a mapping: every known key is read, every other one reported. Defaults stay where nothing is given.
    /// - Parameters:
    ///   - section: the key path of the mapping within the table; empty at its top.
    ///   - prefix: the key path of the table within the file, such as `instances[1]`; empty for the file's own.
    func read(
        _ mapping: Node.Mapping,
        of document: YAMLDocument,
        section: String = "",
        prefix: String = "",
        into root: inout Root,
        log: inout ProblemLog
    ) {
        var first: [String: SourcePlace] = [:]
        for (keyNode, node) in mapping {
            guard let name = document.name(of: keyNode) else {
                log.report(join(prefix, section), at: keyNode.place, "has \(keyNode.shape) as a key; expected a word")
                continue
            }
            let path = join(section, name)
            let keyPath = join(prefix, path)
            if let earlier = first[name] {
                log.report(
                    keyPath,
                    at: keyNode.place,
                    value: name,
                    "is given twice; it already stands in line \(earlier.line)"
                )
            } else {
                first[name] = keyNode.place ?? SourcePlace(line: 1, column: 1)
            }
            log.note(keyPath, at: node.place ?? keyNode.place)
            if let key = keys.first(where: { $0.path == path }) {
                key.read(node, keyPath, &root, &log)
            } else if keys.contains(where: { $0.path.hasPrefix(path + ".") }) {
                readSection(node, of: document, path, keyPath: keyPath, prefix: prefix, into: &root, log: &log)
            } else {
                reportUnknown(name, at: keyNode.place, section: section, keyPath: keyPath, log: &log)
            }
        }
    }

    private func readSection(
        _ node: Node,
        of document: YAMLDocument,
        _ path: String,
        keyPath: String,
        prefix: String,
        into root: inout Root,
        log: inout ProblemLog
    ) {
        switch node {
        case .mapping(let mapping):
            read(mapping, of: document, section: path, prefix: prefix, into: &root, log: &log)
        case .scalar where node.scalarText?.isNull == true:
            // A section whose keys are all commented out.
            break
        default:
            let known = names(in: path).joined(separator: ", ")
            log.report(keyPath, at: node.place, "is \(node.shape); expected a mapping with the keys \(known)")
        }
    }

    private func reportUnknown(
        _ name: String,
        at place: SourcePlace?,
        section: String,
        keyPath: String,
        log: inout ProblemLog
    ) {
        let siblings = names(in: section)
        // The right word in the wrong section is a common slip.
        let elsewhere = keys.first { $0.path.split(separator: ".").last.map(String.init) == name }?.path
        let suggestion =
            if let near = NearestWord.nearest(to: name, among: siblings) {
                "did you mean '\(near)'?"
            } else if let elsewhere {
                "did you mean '\(elsewhere)'?"
            } else {
                "known here: \(siblings.joined(separator: ", "))"
            }
        log.report(keyPath, at: place, value: name, "unknown key '\(ShownValue.text(name))'", suggestion: suggestion)
    }

    /// The words that may stand in a section, in the table's order.
    private func names(in section: String) -> [String] {
        var result: [String] = []
        for key in keys where section.isEmpty || key.path.hasPrefix(section + ".") {
            let rest = section.isEmpty ? key.path[...] : key.path.dropFirst(section.count + 1)
            let name = String(rest.prefix { $0 != "." })
            if !result.contains(name) { result.append(name) }
        }
        return result
    }

    private func join(_ parent: String, _ child: String) -> String {
        parent.isEmpty ? child : child.isEmpty ? parent : "\(parent).\(child)"
    }
}
