/// One mistake in a configuration.
public struct ConfigurationProblem: Sendable, Equatable {
    /// The configuration file, as it was named.
    public var file: String
    /// From 1; 0 when the problem has no place in the file (it cannot be read).
    public var line: Int
    /// In characters, from 1; 0 likewise.
    public var column: Int
    /// Such as `instances[1].url`; empty when the problem is the file's own.
    public var keyPath: String
    /// The offending value, credentials in URLs blotted out; nil where there is none to show.
    public var value: String?
    /// What is wrong and what was expected. Names the value.
    public var message: String
    /// The nearest valid word or what to do; nil when nothing comes near.
    public var suggestion: String?

    public init(
        file: String,
        line: Int,
        column: Int,
        keyPath: String,
        value: String? = nil,
        message: String,
        suggestion: String? = nil
    ) {
        self.file = file
        self.line = line
        self.column = column
        self.keyPath = keyPath
        self.value = value
        self.message = message
        self.suggestion = suggestion
    }
}

extension ConfigurationProblem: CustomStringConvertible {
    /// Like a compiler's: `unstick.yaml:7:12: instances[1].url: 'htp://a' is not …; expected …`.
    public var description: String {
        var text = file
        if line > 0 { text += ":\(line):\(column)" }
        if !keyPath.isEmpty { text += ": \(keyPath)" }
        text += ": \(message)"
        if let suggestion { text += "; \(suggestion)" }
        return text
    }
}

/// A value that is valid, but not for the program that reads it; becomes a ``ConfigurationProblem`` with its place.
public struct ConfigurationRestriction: Sendable, Equatable {
    /// Such as `session.concurrency`.
    public var keyPath: String
    public var value: String?
    /// What is wrong and what was expected. Names the value.
    public var message: String

    public init(keyPath: String, value: String?, message: String) {
        self.keyPath = keyPath
        self.value = value
        self.message = message
    }
}

/// Every mistake of a configuration, in the order of the file.
public struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// Never empty.
    public var problems: [ConfigurationProblem]

    public init(problems: [ConfigurationProblem]) { self.problems = problems }

    /// One line a problem.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
