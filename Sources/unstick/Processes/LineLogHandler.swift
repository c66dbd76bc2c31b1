import ControlAPI
import Foundation
import Logging
import UnstickConfiguration

/// One line an event, to standard error in one write, so that processes can share a log.
struct LineLogHandler: LogHandler {
    let label: String
    let format: Configuration.Log.Format
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(label: String, format: Configuration.Log.Format, level: Logger.Level) {
        self.label = label
        self.format = format
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var values = metadata.merging(event.metadata ?? [:]) { $1 }
        if let error = event.error { values["error"] = "\(error)" }
        Output.write(
            Self.line(
                format, time: Date(), level: event.level, label: label, message: "\(event.message)", metadata: values)
                + "\n",
            to: STDERR_FILENO)
    }

    /// - Returns: without line end; what the event says cannot begin a new line.
    static func line(
        _ format: Configuration.Log.Format, time: Date, level: Logger.Level, label: String, message: String,
        metadata: Logger.Metadata
    ) -> String {
        // RFC 3339 in UTC.
        let stamp = time.formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true)) + "Z"
        switch format {
        case .text:
            let pairs = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\(quoted("\($0.value)"))" }.joined()
            return "\(stamp) \(level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)) \(label): "
                + printable(message) + pairs
        case .json:
            var fields = ["time": stamp, "level": level.rawValue, "label": label, "message": message]
            // The event's own names win over metadata that happens to be called like them.
            for (key, value) in metadata where fields[key] == nil { fields[key] = "\(value)" }
            return (try? ControlJSON.text(fields)) ?? "{}"
        }
    }

    private static func printable(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
                line += scalar == "\n" ? "\\n" : "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    private static func quoted(_ text: String) -> String {
        let text = printable(text)
        guard text.isEmpty || text.contains(where: { " =\"".contains($0) }) else { return text }
        return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}

extension Configuration.Log {
    func logger(_ label: String) -> Logger {
        var logger = Logger(label: label) { LineLogHandler(label: $0, format: format, level: swiftLogLevel) }
        logger.logLevel = swiftLogLevel
        return logger
    }

    private var swiftLogLevel: Logger.Level {
        switch level {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
