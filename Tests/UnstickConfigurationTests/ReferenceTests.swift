import Testing
import UnstickConfiguration

@Suite("The reference of all keys")
struct ReferenceTests {
    private struct Row {
        var key: String
        var standard: String
        var section: String?
    }

    private var rows: [Row] {
        Configuration.reference().split(separator: "\n").dropFirst(2).map { line in
            let cells = line.split(separator: "|").map { $0.trimming(while: { $0 == " " || $0 == "`" }) }
            let parts = cells[0].split(separator: ".", maxSplits: 1)
            return Row(
                key: String(cells[0]), standard: String(cells[1]), section: parts.count == 2 ? String(parts[0]) : nil)
        }
    }

    @Test("it names every key with default, values and meaning")
    func rowsAreComplete() {
        #expect(rows.count > 50)
        #expect(Set(rows.map(\.key)).count == rows.count)
        for line in Configuration.reference().split(separator: "\n").dropFirst(2) {
            #expect(line.split(separator: "|", omittingEmptySubsequences: false).count == 6, "\(line)")
            #expect(!line.contains("|  |"), "\(line)")
        }
    }

    @Test("every default it names is accepted as a value and changes nothing")
    func defaultsAreAccepted() throws {
        let plain = try parse(oneInstance)
        for row in rows
        where !row.key.contains("[]") && row.key != "instances" && !["proxy.name", "proxy.threads"].contains(row.key) {
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
