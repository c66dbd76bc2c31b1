import Foundation

/// What must be there before a test can run. Whatever is missing fails the test; nothing is skipped.
struct Installation: Sendable {
    /// The repository.
    let root: String
    /// The built command line.
    let unstick: String
    /// A Python with the packages of the examples.
    let python: String

    static func find() throws -> Installation {
        // Tests/Integration/Fixture/Installation.swift
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        let environment = ProcessInfo.processInfo.environment

        // Next to the test bundle, so that both are of one build.
        let bundle = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let candidates = [bundle.appending(path: "unstick").path, root.appending(path: ".build/debug/unstick").path]
        guard let unstick = candidates.first(where: FileManager.default.isExecutableFile) else {
            throw IntegrationFailure(
                "the binary unstick is missing; looked for \(candidates.joined(separator: " and ")). "
                    + "`swift build --build-tests` makes it")
        }
        let python = environment["UNSTICK_PYTHON"] ?? root.appending(path: ".build/venv/bin/python").path
        guard FileManager.default.isExecutableFile(atPath: python) else {
            throw IntegrationFailure(
                "the Python for the example applications is missing: '\(python)'. `Tests/run.sh` makes it; "
                    + "the environment variable UNSTICK_PYTHON names another")
        }
        return Installation(root: root.path, unstick: unstick, python: python)
    }
}
