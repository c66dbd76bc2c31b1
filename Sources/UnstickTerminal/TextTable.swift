/// Columns that are as wide as their widest cell; two spaces between.
struct TextTable {
    struct Cell {
        var text: String
        var tone: Tone = .plain
        init(_ text: String, _ tone: Tone = .plain) {
            self.text = TerminalText.clean(text)
            self.tone = tone
        }
    }

    enum Alignment { case left, right }

    struct Column {
        var title: String
        var alignment: Alignment = .left
        /// Cells are cut to it.
        var widthMax = Int.max
    }

    var columns: [Column]
    var rows: [[Cell]]

    /// One line for the titles and one a row. The last column takes what is left of `width`.
    func lines(width: Int) -> [ScreenLine] {
        let last = columns.count - 1
        let widths = columns.indices.map { index in
            min(columns[index].widthMax, rows.map { $0[index].text.count }.reduce(columns[index].title.count, max))
        }
        let titles = columns.map { Cell($0.title, .faint) }
        return ([titles] + rows).map { row in
            var line = ScreenLine()
            for (index, cell) in row.enumerated() {
                let text = Self.cut(cell.text, widths[index])
                let padding = String(repeating: " ", count: widths[index] - text.count)
                if columns[index].alignment == .right { line.append(padding) }
                line.append(text, cell.tone)
                if index < last {
                    line.append((columns[index].alignment == .left ? padding : "") + "  ")
                }
            }
            return line.trimmed.fitted(to: width)
        }
    }

    static func cut(_ text: String, _ width: Int) -> String {
        text.count <= width ? text : String(text.prefix(max(0, width - 1))) + "…"
    }
}

extension ScreenLine {
    /// Without spaces at its end.
    var trimmed: ScreenLine {
        var kept = pieces
        while var piece = kept.popLast() {
            while piece.text.last == " " { piece.text.removeLast() }
            if !piece.text.isEmpty {
                kept.append(piece)
                break
            }
        }
        var line = ScreenLine()
        for piece in kept { line.append(piece.text, piece.tone) }
        return line
    }
}
