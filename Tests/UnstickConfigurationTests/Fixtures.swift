import UnstickConfiguration

/// A machine with exactly the files a test names.
func machine(
    name: String? = "web",
    cores: Int = 4,
    files: [String: ConfigurationHost.FileContent] = ["bridge.key": .key]
) -> ConfigurationHost {
    ConfigurationHost(name: name, cores: cores) { path throws(ConfigurationHost.FileRefusal) in
        guard let content = files[path] else {
            throw ConfigurationHost.FileRefusal(reason: "No such file or directory")
        }
        return content
    }
}

extension ConfigurationHost.FileContent {
    /// A secret as it should be.
    static let key = ConfigurationHost.FileContent(bytes: Array(repeating: UInt8(ascii: "k"), count: 32), mode: 0o600)
}

let oneInstance = "instances: [{ name: a, url: \"http://127.0.0.1:5001\" }]\n"

func parse(_ yaml: String, file: String = "unstick.yaml", on host: ConfigurationHost = machine()) throws
    -> Configuration
{
    try Configuration.parse(yaml: yaml, file: file, host: host)
}

/// The problems of a configuration; empty when there are none.
func problems(_ yaml: String, file: String = "unstick.yaml", on host: ConfigurationHost = machine())
    -> [ConfigurationProblem]
{
    do throws(ConfigurationErrors) {
        _ = try Configuration.parse(yaml: yaml, file: file, host: host)
        return []
    } catch {
        return error.problems
    }
}

/// As people see them.
func complaints(_ yaml: String, file: String = "unstick.yaml", on host: ConfigurationHost = machine()) -> [String] {
    problems(yaml, file: file, on: host).map(\.description)
}
