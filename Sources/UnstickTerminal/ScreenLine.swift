/// What a piece of a line means; colours are chosen from it, and nothing may depend on colour alone.
package enum Tone: Sendable, Equatable {
    case plain
    case strong
    case faint
    case good
    case bad
    case doubtful

    /// SGR parameters (ECMA-48 section 8.3.117).
    var code: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .faint: "2"
        case .good: "32"
        case .bad: "31"
        case .doubtful: "33"
        }
    }
}

/// One line of a screen, without line end: pieces of text with their tones.
///
/// Text is cleaned of control characters as it comes in, because names, notes and reasons are written by others and must
/// not be able to steer a terminal.
package struct ScreenLine: Sendable, Equatable {
    package struct Piece: Sendable, Equatable {
        package var text: String
        package var tone: Tone
    }

    package private(set) var pieces: [Piece] = []

    package init(_ text: String = "", _ tone: Tone = .plain) {
        append(text, tone)
    }

    package mutating func append(_ text: String, _ tone: Tone = .plain) {
        guard !text.isEmpty else { return }
        pieces.append(Piece(text: TerminalText.clean(text), tone: tone))
    }

    package func appending(_ text: String, _ tone: Tone = .plain) -> ScreenLine {
        var line = self
        line.append(text, tone)
        return line
    }

    /// Columns, each character counted as one.
    package var width: Int { pieces.reduce(0) { $0 + $1.text.count } }

    package var plain: String { pieces.map(\.text).joined() }

    /// The line cut to `width` columns; a cut line ends in `…`.
    package func fitted(to width: Int) -> ScreenLine {
        guard self.width > width else { return self }
        var fitted = ScreenLine()
        var left = max(0, width - 1)
        for piece in pieces where left > 0 {
            let text = String(piece.text.prefix(left))
            left -= text.count
            fitted.append(text, piece.tone)
        }
        if width > 0 { fitted.append("…", .faint) }
        return fitted
    }

    package func rendered(colour: Bool) -> String {
        guard colour else { return plain }
        return pieces.map { piece in
            piece.tone.code.map { "\u{1b}[\($0)m\(piece.text)\u{1b}[0m" } ?? piece.text
        }.joined()
    }
}
