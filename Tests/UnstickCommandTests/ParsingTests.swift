import ArgumentParser
import ControlAPI
import ControlClient
import Testing
import UnstickCore
import UnstickSoak

@testable import unstick

/// The command that the arguments ask for.
private func parse<Command: ParsableCommand>(_ type: Command.Type, _ arguments: String) throws -> Command {
    try #require(try Unstick.parseAsRoot(arguments.split(separator: " ").map(String.init)) as? Command)
}

@Suite("Arguments")
struct ParsingTests {
    @Test("every command of the contract is there, and none of a later version")
    func commands() {
        let names = Unstick.configuration.subcommands.map { $0.configuration.commandName ?? "" }
        #expect(
            Set(names) == [
                "up", "proxy", "coordinator", "check", "status", "mirror", "verify", "externalize", "switch",
                "complete",
                "cancel", "rollback", "drain", "undrain", "instances", "gates", "journal", "sessions", "proxies",
                "soak",
                "demo",
            ])
    }

    @Test("the common options become the request")
    func request() throws {
        let command = try parse(
            MirrorCommand.self,
            "mirror --dry-run --no-wait --yes --reason release --expected-epoch 7 --timeout 1500ms -o json")
        let runner = OperationRunner(
            connection: command.connection, action: command.action, output: command.output)
        let request = runner.request(.mirror)
        #expect(request.kind == .mirror)
        #expect(request.dryRun)
        #expect(request.reason == "release")
        #expect(request.expectedEpoch == Epoch(7))
        #expect(request.timeoutSeconds == 2)
        #expect(request.by.split(separator: "@").count == 2)
        #expect(request.killAtJournalEntry == nil)
        #expect(!command.action.wait)
        #expect(command.action.yes)
        #expect(command.output.isJSON)
    }

    @Test("without options an operation is waited for, for real, at any epoch")
    func defaults() throws {
        let command = try parse(ExternalizeCommand.self, "externalize")
        let request = OperationRunner(
            connection: command.connection, action: command.action, output: command.output
        ).request(.externalize)
        #expect(
            !request.dryRun && request.expectedEpoch == nil && request.timeoutSeconds == nil && request.reason == nil)
        #expect(command.action.wait && !command.action.yes && !command.output.isJSON)
        #expect(try command.connection.client().address.hasPrefix("http://"))
    }

    @Test("a rollback goes to externalized unless it is told otherwise")
    func rollback() throws {
        #expect(try parse(RollbackCommand.self, "rollback").to.phase == .externalized)
        #expect(try parse(RollbackCommand.self, "rollback --to sticky").to.phase == .sticky)
        #expect(try parse(RollbackCommand.self, "rollback --to mirroring").to.phase == .mirroring)
    }

    @Test("a drain's deadline becomes whole seconds")
    func drain() throws {
        #expect(
            try parse(DrainCommand.self, "drain web-1 --deadline 1m30s --force").kind
                == .drain(instance: "web-1", deadlineSeconds: 90, force: true))
        #expect(
            try parse(DrainCommand.self, "drain web-1").kind
                == .drain(instance: "web-1", deadlineSeconds: nil, force: false))
    }

    @Test("instances lists unless it is told to change one")
    func instances() throws {
        #expect(try parse(InstancesListCommand.self, "instances -o json").output.isJSON)
        #expect(
            try parse(InstancesAddCommand.self, "instances add web-3 http://127.0.0.1:5003 --weight 2").kind
                == .addInstance(name: "web-3", url: "http://127.0.0.1:5003", weight: 2))
        #expect(
            try parse(InstancesRemoveCommand.self, "instances remove web-3 --force").kind
                == .removeInstance(name: "web-3", force: true))
        #expect(
            try parse(InstancesWeightCommand.self, "instances weight web-3 0 --dry-run").kind
                == .setWeight(instance: "web-3", weight: 0))
    }

    @Test("proxies lists unless it is told to forget")
    func proxies() throws {
        _ = try parse(ProxiesCommand.List.self, "proxies -o json")
        #expect(try parse(ProxiesCommand.Forget.self, "proxies forget proxy-2 --yes").name == "proxy-2")
        #expect(try parse(SessionsCommand.Explain.self, "sessions explain -").id == "-")
    }

    @Test("a soak's options")
    func soak() throws {
        let options = try parse(
            SoakCommand.self,
            "soak --url http://a:1 --url http://b:2 --clients 8 --duration 5m --parallel 3 --same-key --rate 50 --seed 9 "
                + "--alternate"
        ).options
        #expect(options.urls == ["http://a:1", "http://b:2"])
        #expect(options.clients == 8 && options.duration == .seconds(300) && options.seed == 9)
        #expect(options.parallel == .sameKey(3) && options.targetRate == 50 && options.alternateURLs)
        let plain = try parse(SoakCommand.self, "soak --url http://a:1 --duration 1s --parallel 2").options
        #expect(plain.parallel == .distinctKeys(2) && !plain.alternateURLs)
    }

    @Test(
        "wrong usage exits with 2",
        arguments: [
            "frobnicate", "switch", "switch --percent 0", "switch --percent 101", "switch --percent x",
            "rollback --to stateless", "rollback --to completed", "mirror --timeout 5", "mirror --timeout 500ms",
            "mirror -o yaml", "mirror --expected-epoch -1", "mirror --nonsense", "mirror extra", "drain",
            "drain web-1 --deadline soon", "journal --limit 0", "journal --limit 1001", "sessions explain",
            "proxies forget",
            "status --coordinator 127.0.0.1:9090", "status --coordinator http://", "status --coordinator http://u@h:1",
            "check", "check a --reference", "soak --duration 1s", "soak --url http://a:1",
            "soak --url http://a:1 --duration 1s --same-key", "soak --url http://a:1 --duration 1s --parallel 65",
            "complete --dry-run=maybe", "doctor", "pause", "rehearse",
        ])
    func usage(arguments: String) {
        do {
            _ = try Unstick.parseAsRoot(arguments.split(separator: " ").map(String.init))
            Issue.record("'\(arguments)' was accepted")
        } catch {
            let failure = Unstick.failure(for: error)
            #expect(failure.status == .usage)
            #expect(!failure.message.isEmpty && !failure.message.contains("Usage:"))
            #expect(failure.usage?.contains("Usage:") == true)
        }
    }

    @Test("an address that a soak cannot use is wrong usage too, found before the first request")
    func soakAddress() async throws {
        let command = try parse(SoakCommand.self, "soak --url ftp://a:1 --duration 1s")
        await #expect { try await command.run() } throws: { ($0 as? CommandFailure)?.status == .usage }
    }

    @Test("a soak trusts the authorities that it is told, or everybody")
    func soakTLS() throws {
        let command = try parse(SoakCommand.self, "soak --url https://a:1 --duration 1s --ca-file ca.pem")
        #expect(command.options.authorityFile == "ca.pem")
        #expect(command.options.verifiesCertificates)
        let careless = try parse(SoakCommand.self, "soak --url https://a:1 --duration 1s --insecure")
        #expect(!careless.options.verifiesCertificates)
    }

    @Test(
        "JSON is recognised even where the arguments cannot be parsed",
        arguments: [
            ("x -o json", true), ("x -ojson", true), ("x --output json", true), ("x --output=json", true), ("x", false),
            ("x -o text", false), ("x -o", false), ("x -- -o json", false), ("x --reason json", false),
        ])
    func json(arguments: String, isJSON: Bool) {
        #expect(OutputFormat.isJSON(in: arguments.split(separator: " ").map(String.init)) == isJSON)
    }
}
