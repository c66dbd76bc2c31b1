import ArgumentParser
import AsyncHTTPClient
import Logging
import NIOCore
import ServiceLifecycle

@main
struct Unstick: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unstick")
}
