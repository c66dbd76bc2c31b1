import ControlAPI
import ControlClient
import Foundation
import NIOCore
import Testing

@testable import unstick

@Suite("Exit codes")
struct ExitStatusTests {
    @Test(
        "an operation's outcome is the exit code of the contract",
        arguments: [
            (.done, 0), (.failed, 1), (.invalid, 2), (.refused, 3), (.timedOut, 4), (.locked, 5), (.rolledBack, 6),
            (.needsRepair, 7),
        ] as [(OperationOutcome.Code, Int32)])
    func outcomes(code: OperationOutcome.Code, status: Int32) {
        #expect(ExitStatus(code).rawValue == status)
        let problem = ControlClientError.problem(APIProblem(code: code, message: "why"), status: 409)
        #expect(CommandFailure(problem).status.rawValue == status)
        #expect(CommandFailure(problem).message == "why")
    }

    @Test("what has no outcome has its own")
    func others() {
        #expect(ExitStatus.unreachable.rawValue == 8)
        #expect(ExitStatus.waitingForApproval.rawValue == 9)
        #expect(ExitStatus.detached.rawValue == 130)
        #expect(CommandFailure(.unreachable(address: "http://a", reason: "gone")).status == .unreachable)
        #expect(CommandFailure(.unintelligible(address: "http://a", reason: "html")).status == .unreachable)
    }

    @Test("an error's JSON names its schema")
    func json() throws {
        let text = try ControlJSON.text(CommandFailure(.refused, "no \"way\"").report)
        #expect(
            text == #"{"code":3,"message":"no \"way\"","schema":"unstick.error/v1"}"#)
    }

    @Test(
        "an address that cannot be listened on is named with its key",
        arguments: [
            (EADDRINUSE, "listen: cannot listen on 127.0.0.1:80: the port is in use by another process"),
            (EACCES, "listen: cannot listen on 127.0.0.1:80: not permitted; ports below 1024 need a privilege"),
            (EADDRNOTAVAIL, "listen: cannot listen on 127.0.0.1:80: this machine does not have that address"),
        ])
    func listening(code: Int32, message: String) {
        let part = Serving.Part(name: "listen", address: "127.0.0.1:80", run: { _ in })
        let failure = Serving.failure(IOError(errnoCode: code, reason: "bind"), of: part)
        #expect(failure.message == message)
        #expect(failure.status == .failed)
    }
}
