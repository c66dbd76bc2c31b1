/// Text for terminals.
package enum TerminalText {
    /// Replaces control characters (C0, DEL, C1) and invisible direction marks by `�`, line breaks by a space.
    package static func clean(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var cleaned = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n", "\r", "\t": cleaned.append(" ")
            case _ where isUnsafe(scalar): cleaned.append("\u{fffd}")
            default: cleaned.append(scalar)
            }
        }
        return String(cleaned)
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x00...0x1f, 0x7f...0x9f, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true
        default: false
        }
    }

    /// Breaks at spaces into lines of at most `width` columns; a word that is longer is broken anywhere.
    package static func wrap(_ text: String, width: Int) -> [String] {
        let width = max(1, width)
        var lines: [String] = []
        var line = ""
        for word in clean(text).split(separator: " ") {
            var word = Substring(word)
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            while word.count > width {
                lines.append(String(word.prefix(width)))
                word = word.dropFirst(width)
            }
            if !word.isEmpty { line += (line.isEmpty ? "" : " ") + word }
        }
        if !line.isEmpty { lines.append(line) }
        return lines
    }

    /// `1,204`.
    package static func count(_ number: some BinaryInteger) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text += "," }
            text.append(digit)
        }
        return text
    }

    /// `1 session`, `2 sessions`.
    package static func count(_ number: Int, of noun: String) -> String {
        "\(count(number)) \(noun)\(number == 1 ? "" : "s")"
    }

    /// Percent with one decimal, rounded down: what is not all must not read as all. `part` of `whole`, 100.0 for 0 of 0.
    package static func percent(_ part: Int, of whole: Int) -> String {
        guard whole > 0 else { return "100.0 %" }
        let thousandths = min(1000, max(0, part) * 1000 / whole)
        return "\(thousandths / 10).\(thousandths % 10) %"
    }
}
