extension Configuration {
    /// Reads and checks a configuration file and the secrets it names.
    /// - Throws: every mistake at once, in the order of the file.
    public static func load(path: String, host: ConfigurationHost = .local) throws(ConfigurationErrors) -> Configuration {
        fatalError("to be written")
    }

    /// Checks a configuration text.
    /// - Parameters:
    ///   - file: the name that problems carry; relative paths in the text are relative to its folder.
    ///   - host: what the machine says: host name, cores, secret files.
    public static func parse(
        yaml: String,
        file: String,
        host: ConfigurationHost = .local
    ) throws(ConfigurationErrors) -> Configuration {
        fatalError("to be written")
    }

    /// Every key with its default, range, unit and meaning, as a Markdown table.
    public static func reference() -> String { fatalError("to be written") }
}
