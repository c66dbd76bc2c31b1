import ArgumentParser
import Foundation
import Testing
import UnstickConfiguration

@testable import unstick

/// The project's Markdown pages and what stands in their blocks.
private enum Pages {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Paths from the root, sorted.
    static let all: [String] = {
        let folders = ["Examples", "Playbooks", "Sources/Bridges", "Tests/Benchmarks"]
        let found = folders.flatMap { folder in
            let names = FileManager.default.subpaths(atPath: root.appending(path: folder).path(percentEncoded: false))
            return (names ?? []).filter { $0.hasSuffix(".md") && !$0.contains(".venv") }.map { "\(folder)/\($0)" }
        }
        return (found + ["README.md", "CHANGELOG.md", "SECURITY.md"]).sorted()
    }()

    static func text(_ path: String) -> String {
        (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
    }

    static let blocks: [Block] = all.flatMap { blocks(in: text($0), page: $0) }

    /// A fenced block. `information` is what stands behind the fence.
    struct Block: CustomTestStringConvertible, Sendable {
        var page: String
        /// Of its first line, from 1.
        var line: Int
        var information: String
        var text: String

        var testDescription: String { "\(page):\(line)" }
    }

    static func blocks(in text: String, page: String) -> [Block] {
        var blocks: [Block] = []
        var open: Block?
        var indentation = 0
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let bare = line.drop { $0 == " " }
            if bare.hasPrefix("```") {
                if let block = open {
                    blocks.append(block)
                    open = nil
                } else {
                    indentation = line.count - bare.count
                    open = Block(page: page, line: index + 2, information: String(bare.dropFirst(3)), text: "")
                }
            } else {
                // In a list the whole block is indented.
                open?.text += line.dropFirst(min(indentation, line.count - bare.count)) + "\n"
            }
        }
        return blocks
    }
}

@Suite("Documentation")
struct DocumentationTests {
    private static let configurations = Pages.blocks.filter { $0.information == "yaml unstick" }

    /// Any file that is named is there; a configuration may be a part that leaves `instances` to the rest of the file.
    private static func complaints(_ yaml: String) -> [String] {
        let secret = ConfigurationHost.FileContent(bytes: Array(repeating: UInt8(ascii: "k"), count: 32), mode: 0o600)
        let host = ConfigurationHost(name: "web", cores: 4) { _ throws(ConfigurationHost.FileRefusal) in secret }
        let isWhole = yaml.split(separator: "\n").contains { $0.hasPrefix("instances:") }
        let rest = """
            instances:
              - { name: web-1, url: "http://10.0.0.11:5001" }
              - { name: web-2, url: "http://10.0.0.12:5001" }

            """
        do throws(ConfigurationErrors) {
            _ = try Configuration.parse(yaml: yaml + (isWhole ? "" : rest), file: "unstick.yaml", host: host) {
                $0.restrictions(for: .check)
            }
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("every configuration on a page is accepted by `unstick check`", arguments: configurations)
    private func configuration(_ block: Pages.Block) {
        #expect(Self.complaints(block.text) == [])
    }

    @Test("the configurations are found")
    func configurationsAreFound() {
        #expect(Self.configurations.count > 25)
        #expect(Self.configurations.contains { $0.page == "README.md" })
        #expect(Self.configurations.contains { $0.page == "Playbooks/from-other-balancers.md" })
        #expect(Self.complaints("listen: nowhere\n") != [])
    }

    @Test("every YAML block says whose it is, so that none of ours goes unchecked")
    func yamlIsMarked() {
        let others: Set = ["yaml envoy", "yaml traefik", "yaml kubernetes", "yaml prometheus"]
        for block in Pages.blocks where block.information.hasPrefix("yaml") {
            #expect(
                block.information == "yaml unstick" || others.contains(block.information), "\(block.testDescription)")
        }
    }

    private static let examples = ["Examples/edge/unstick.yaml"]

    @Test("every example's configuration is accepted by `unstick check`", arguments: examples)
    func example(path: String) {
        let text = Pages.text(path)
        #expect(!text.isEmpty)
        #expect(Self.complaints(text) == [])
    }

    // MARK: Commands

    /// Commands in blocks and in indented lines; a comment is cut off.
    private static let commands: [Command] = Pages.all.flatMap { page in
        Pages.text(page).split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
            index, line in
            var words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            if words.first == "$" { words.removeFirst() }
            guard words.first == "unstick", line.hasPrefix(" ") || isInBlock(page, index + 1) else { return nil }
            // Quotes only stand around single words and sentences here.
            let text = words.dropFirst().joined(separator: " ")
            return Command(page: page, line: index + 1, arguments: split(text))
        }
    }

    private struct Command: CustomTestStringConvertible, Sendable {
        var page: String
        var line: Int
        var arguments: [String]

        var testDescription: String { "\(page):\(line): unstick \(arguments.joined(separator: " "))" }
    }

    private static func isInBlock(_ page: String, _ line: Int) -> Bool {
        Pages.blocks.contains { block in
            block.page == page && !block.information.hasPrefix("yaml") && block.line <= line
                && line < block.line + block.text.split(separator: "\n", omittingEmptySubsequences: false).count
        }
    }

    /// Words, with double quotes around those that hold spaces.
    private static func split(_ text: String) -> [String] {
        text.split(separator: "\"", omittingEmptySubsequences: false).enumerated().flatMap { index, part in
            index % 2 == 1 ? [String(part)] : part.split(separator: " ").map(String.init)
        }
    }

    @Test("every command on a page is understood", arguments: commands)
    private func command(_ command: Command) throws {
        // Placeholders stand for numbers and durations in places where the parser wants one.
        let arguments = command.arguments.filter { $0 != "…" && $0 != "&" && $0 != "|" }
        #expect(throws: Never.self) { _ = try Unstick.parseAsRoot(arguments) }
    }

    @Test("the commands are found")
    func commandsAreFound() {
        #expect(Self.commands.count > 20)
        #expect(throws: (any Error).self) { _ = try Unstick.parseAsRoot(["switch", "--percents", "1"]) }
    }

    // MARK: Links

    @Test("every link to a file and to a heading leads somewhere", arguments: Pages.all)
    func links(page: String) throws {
        let link = /\]\(([^)#\s]*)(?:#([^)\s]+))?\)/
        for match in Pages.text(page).matches(of: link) {
            let (target, anchor) = (String(match.1), match.2.map(String.init))
            guard !target.contains("://") else { continue }
            let folder = Pages.root.appending(path: page).deletingLastPathComponent()
            let file = target.isEmpty ? Pages.root.appending(path: page) : folder.appending(path: target)
            let path = file.standardizedFileURL.path(percentEncoded: false)
            #expect(FileManager.default.fileExists(atPath: path), "\(page): \(match.0)")
            guard let anchor, path.hasSuffix(".md") else { continue }
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(Self.anchors(in: text).contains(anchor), "\(page): \(match.0)")
        }
    }

    /// As GitHub makes them of headings.
    private static func anchors(in text: String) -> Set<String> {
        var isBlock = false
        var anchors: Set<String> = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("```") { isBlock.toggle() }
            guard !isBlock, line.hasPrefix("#") else { continue }
            let title = line.drop { $0 == "#" }.drop { $0 == " " }.lowercased()
            anchors.insert(
                String(title.filter { $0.isLetter || $0.isNumber || "-_ ".contains($0) }.map { $0 == " " ? "-" : $0 }))
        }
        return anchors
    }
}
