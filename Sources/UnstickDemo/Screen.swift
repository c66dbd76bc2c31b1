import Foundation
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Where the story is told: a terminal with colours and a line that moves, or plain text.
public final class Screen: Sendable {
    enum Style: String, Sendable {
        case bold = "1"
        case dim = "2"
        case good = "32"
        case bad = "1;31"
        case notice = "33"
    }

    /// Columns that text may fill.
    let width: Int
    /// Whether a line may be overwritten.
    let isLive: Bool
    private let hasColours: Bool
    private let output: @Sendable (String) -> Void
    private let hasLiveLine = Mutex(false)

    init(width: Int, isLive: Bool, hasColours: Bool, output: @escaping @Sendable (String) -> Void) {
        self.width = width
        self.isLive = isLive
        self.hasColours = hasColours
        self.output = output
    }

    /// Standard output: 60 to 80 columns wide; colours on a terminal only, and not with `NO_COLOR` or a dumb one.
    public static func standardOutput() -> Screen {
        on(.standardOutput)
    }

    /// Plain standard error, for when standard output belongs to a program.
    public static func standardError() -> Screen {
        on(.standardError)
    }

    private static func on(_ file: FileHandle) -> Screen {
        let environment = ProcessInfo.processInfo.environment
        let isTerminal = isatty(file.fileDescriptor) == 1 && environment["TERM"] != "dumb"
        var size = winsize()
        let columns = isTerminal && ioctl(file.fileDescriptor, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : 0
        return Screen(
            width: columns == 0 ? 80 : max(60, min(80, columns)), isLive: isTerminal,
            hasColours: isTerminal && (environment["NO_COLOR"] ?? "").isEmpty
        ) { text in
            // A reader that has gone is no reason to stop.
            try? file.write(contentsOf: Data(text.utf8))
        }
    }

    func styled(_ text: String, _ style: Style) -> String {
        hasColours ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }

    func line(_ text: String = "") {
        clearLive()
        output(text + "\n")
    }

    /// Text of any length, broken between words.
    func paragraph(_ text: String, indent: Int = 0, style: Style? = nil) {
        for line in Self.wrap(text, width: width - indent) {
            self.line(String(repeating: " ", count: indent) + (style.map { styled(line, $0) } ?? line))
        }
    }

    /// A line that the next one replaces; nothing where that is not possible.
    func live(_ text: String) {
        guard isLive else { return }
        hasLiveLine.withLock { $0 = true }
        // One column stays free, so that no terminal wraps.
        output("\r\u{1b}[K" + styled(String(text.prefix(width - 1)), .dim))
    }

    func clearLive() {
        let wasThere = hasLiveLine.withLock { line in
            defer { line = false }
            return line
        }
        if wasThere { output("\r\u{1b}[K") }
    }

    /// Lines of at most `width` characters; a word that is longer stands alone.
    static func wrap(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var line = ""
            for word in paragraph.split(separator: " ") {
                if line.isEmpty {
                    line = String(word)
                } else if line.count + 1 + word.count <= width {
                    line += " " + word
                } else {
                    lines.append(line)
                    line = String(word)
                }
            }
            lines.append(line)
        }
        return lines
    }
}

extension Int {
    /// `1,204`.
    var grouped: String {
        var digits = String(magnitude)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return (self < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
    }
}
