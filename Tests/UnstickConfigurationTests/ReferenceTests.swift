import Foundation
import Testing

@testable import UnstickConfiguration

@Suite("The reference of all keys")
struct ReferenceTests {
    private struct Row {
        var key: String
        var standard: String
        var section: String?
    }

    /// Lines of the tables of keys.
    private static let lines = Configuration.reference().split(separator: "\n").filter {
        $0.hasPrefix("| `") && $0.hasSuffix(" |") && !$0.hasPrefix("| `null`")
    }

    private var rows: [Row] {
        Self.lines.map { line in
            let cells = line.split(separator: "|").map { $0.trimming(while: { $0 == " " || $0 == "`" }) }
            let parts = cells[0].split(separator: ".", maxSplits: 1)
            return Row(
                key: String(cells[0]), standard: String(cells[1]), section: parts.count == 2 ? String(parts[0]) : nil)
        }
    }

    @Test("it names every key with default, values and meaning, in one section")
    func rowsAreComplete() {
        #expect(rows.count > 150)
        #expect(Set(rows.map(\.key)).count == rows.count)
        #expect(Set(rows.map(\.key)) == Set(ConfigurationReferenceRow.all().map(\.key)))
        for line in Self.lines {
            #expect(line.replacing("\\|", with: "").split(separator: "|", omittingEmptySubsequences: false).count == 6)
            #expect(!line.contains("|  |"), "\(line)")
        }
    }

    @Test(
        "every section has keys, a text, and an example that sets one of its keys", arguments: ConfigurationSection.all)
    func sections(_ section: ConfigurationSection) {
        let index = ConfigurationSection.all.firstIndex { $0.title == section.title }
        let keys = ConfigurationReferenceRow.all().map(\.key).filter { ConfigurationSection.index(of: $0) == index }
        #expect(!keys.isEmpty)
        #expect(section.text.hasSuffix(".") && !section.text.contains("\n"))
        let words = Set(keys.flatMap { $0.split(whereSeparator: { ".[]".contains($0) }).map(String.init) })
        #expect(words.contains { section.example.contains("\($0):") }, "\(section.title)")
        for path in section.paths {
            #expect(keys.contains { $0 == path || $0.hasPrefix(path + ".") || $0.hasPrefix(path + "[]") }, "\(path)")
        }
    }

    @Test("the page in the repository is the code's")
    func page() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let name = "Playbooks/configuration-reference.md"
        let page = try String(contentsOf: root.appending(path: name), encoding: .utf8)
        let renewal = "renew it with: swift run unstick check --reference > \(name)"
        let reference = Configuration.reference()
        guard page != reference else { return }
        let pairs = zip(
            page.split(separator: "\n", omittingEmptySubsequences: false),
            reference.split(separator: "\n", omittingEmptySubsequences: false))
        let line = pairs.enumerated().first { $0.element.0 != $0.element.1 }
        Issue.record(
            "\(name) differs from the code in line \((line?.offset ?? pairs.underestimatedCount) + 1); \(renewal)")
    }

    @Test("every default it names is accepted as a value and changes nothing")
    func defaultsAreAccepted() throws {
        let plain = try parse(oneInstance)
        for row in rows
        where row.key != "instances" && !row.key.contains("[]")
            && !["proxy.name", "proxy.threads", "tls.ciphers"].contains(row.key)
        {
            let yaml =
                if let section = row.section {
                    "\(section): { \(row.key.dropFirst(section.count + 1)): \"X\" }"
                } else {
                    "\(row.key): \"X\""
                }
            // Lists, numbers, words and null stand without quotes; a store URL needs them inside braces.
            let value = row.standard.contains(":") ? "\"\(row.standard)\"" : row.standard
            let configuration = try parse(oneInstance + yaml.replacing("\"X\"", with: value) + "\n")
            #expect(configuration == plain, "\(row.key)")
        }
    }
}

extension Substring {
    fileprivate func trimming(while predicate: (Character) -> Bool) -> Substring {
        var result = drop(while: predicate)
        while let last = result.last, predicate(last) { result.removeLast() }
        return result
    }
}
