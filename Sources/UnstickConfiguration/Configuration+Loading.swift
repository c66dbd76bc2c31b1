extension Configuration {
    /// Reads and checks a configuration file and the secrets it names.
    /// - Parameters:
    ///   - path: the file, up to 1 MiB of UTF-8; relative paths in it are relative to its folder.
    ///   - host: what the machine says: host name, cores, files.
    ///   - restrictions: what the program that reads it refuses in a configuration that is valid by itself.
    /// - Throws: every mistake at once, in the order of the file; one problem without a line when it cannot be read.
    public static func load(
        path: String,
        host: ConfigurationHost = .local,
        restrictions: (Configuration) -> [ConfigurationRestriction] = { _ in [] }
    ) throws(ConfigurationErrors) -> Configuration {
        let content: ConfigurationHost.FileContent
        do throws(ConfigurationHost.FileRefusal) {
            content = try host.read(path)
        } catch {
            throw unreadable(path, "cannot be read: \(error.reason)")
        }
        guard let yaml = String(validating: content.bytes, as: UTF8.self) else {
            throw unreadable(path, "is not UTF-8 text")
        }
        return try parse(yaml: yaml, file: path, host: host, restrictions: restrictions)
    }

    /// Checks a configuration text.
    /// - Parameters:
    ///   - file: the name that problems carry; relative paths in the text are relative to its folder.
    ///   - host: what the machine says: host name, cores, secret files.
    ///   - restrictions: what the program that reads it refuses in a configuration that is valid by itself.
    /// - Throws: every mistake at once, in the order of the file.
    public static func parse(
        yaml: String,
        file: String,
        host: ConfigurationHost = .local,
        restrictions: (Configuration) -> [ConfigurationRestriction] = { _ in [] }
    ) throws(ConfigurationErrors) -> Configuration {
        var log = ProblemLog(file: file)
        var draft = ConfigurationDraft(file: file, host: host)
        guard let document = YAMLDocument(yaml, log: &log) else { throw ConfigurationErrors(problems: log.sorted) }
        ConfigurationTable.read(document, into: &draft, log: &log)
        let configuration = ConfigurationChecks(file: file, host: host).complete(draft, &log)
        for restriction in restrictions(configuration) where !log.isRefused(restriction.keyPath) {
            log.report(restriction.keyPath, value: restriction.value, restriction.message)
        }
        guard log.problems.isEmpty else { throw ConfigurationErrors(problems: log.sorted) }
        return configuration
    }

    private static func unreadable(_ path: String, _ message: String) -> ConfigurationErrors {
        ConfigurationErrors(problems: [
            ConfigurationProblem(file: path, line: 0, column: 0, keyPath: "", message: message)
        ])
    }
}
