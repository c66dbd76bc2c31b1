import Foundation
import Testing

/// What a program said.
struct ProgramResult {
    var code: Int32
    var output: String
    var errors: String
}

/// Runs a program to its end, at most 30 s, without blocking the tests' own threads.
func run(_ program: String, _ arguments: [String], in folder: String = "/", input: String? = nil) async throws
    -> ProgramResult
{
    // Files, not pipes: nothing to drain, and a program that does not read its input ends all the same.
    var template = Array("/tmp/unstick-run-XXXXXX".utf8CString)
    let scratch = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    func file(_ name: String, _ text: String) throws -> URL {
        let url = URL(fileURLWithPath: scratch + "/" + name)
        try Data(text.utf8).write(to: url)
        return url
    }
    let (output, errors) = (try file("output", ""), try file("errors", ""))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "30", program] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    process.standardInput = try FileHandle(forReadingFrom: file("input", input ?? ""))
    await withCheckedContinuation { continuation in
        process.terminationHandler = { _ in continuation.resume() }
        do { try process.run() } catch { continuation.resume() }
    }
    return ProgramResult(
        code: process.terminationStatus, output: try String(contentsOf: output, encoding: .utf8),
        errors: try String(contentsOf: errors, encoding: .utf8))
}

/// A certificate authority in a folder of its own, made with openssl.
struct TLSTestAuthority {
    let folder: String

    /// Runs the body with an authority that has signed nothing yet.
    static func with<Result>(_ body: (TLSTestAuthority) async throws -> Result) async throws -> Result {
        var template = Array("/tmp/unstick-tls-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = TLSTestAuthority(folder: folder)
        try await authority.openssl(
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"]
                + ["-out", "ca.pem", "-days", "30", "-subj", "/CN=Test Authority"])
        return try await body(authority)
    }

    func path(_ name: String) -> String { folder + "/" + name }

    func openssl(_ arguments: [String]) async throws {
        let result = try await run("openssl", arguments, in: folder)
        try #require(result.code == 0, "openssl \(arguments): \(result.errors)")
    }

    /// Makes NAME.pem and NAME.key, signed.
    func issue(_ name: String, subject: String, alternatives: String? = nil, days: Int = 20) async throws {
        try await openssl(
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "\(name).key"]
                + ["-out", "\(name).csr", "-subj", subject])
        var arguments = [
            "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
            "\(days)", "-out", "\(name).pem",
        ]
        if let alternatives {
            try write("\(name).ext", "subjectAltName=\(alternatives)\n")
            arguments += ["-extfile", "\(name).ext"]
        }
        try await openssl(arguments)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)))
    }

    func read(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    /// Puts another file's content in place, as a renewal does: by renaming, which gives a new inode.
    func replace(_ name: String, with other: String) throws {
        try FileManager.default.copyItem(atPath: path(other), toPath: path(name + ".new"))
        try #require(rename(path(name + ".new"), path(name)) == 0)
    }
}
