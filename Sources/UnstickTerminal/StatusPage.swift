package import ControlAPI

/// `unstick status` as a page for a browser: the same lines, refreshed every two seconds, without scripts and without
/// anything from elsewhere.
package enum StatusPage {
    package static func html(_ report: StatusReport) -> String {
        let lines = StatusScreen(report, width: 100).lines.map { line in
            line.pieces.map { piece in
                "<span class=\"\(piece.tone)\">\(escaped(piece.text))</span>"
            }.joined()
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <meta http-equiv="refresh" content="2">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(escaped(report.migration)): \(report.phase) – Unstick</title>
            <style>
            :root { color-scheme: light dark; }
            body { margin: 1.5rem; font: 14px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
            pre { overflow-x: auto; }
            .strong { font-weight: bold; }
            .good { color: light-dark(#116329, #56d364); }
            .bad { color: light-dark(#a40e26, #ff7b72); font-weight: bold; }
            .doubtful { color: light-dark(#7d4e00, #e3b341); }
            .faint { color: light-dark(#59636e, #9198a1); }
            </style>
            </head>
            <body>
            <main>
            <pre>\(lines.joined(separator: "\n"))</pre>
            </main>
            </body>
            </html>

            """
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }
}
