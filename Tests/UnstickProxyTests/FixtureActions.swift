import MemorySessionStore
import NIOCore
import NIOPosix
import SessionStore
import Testing
import UnstickCore

@testable import UnstickProxy

extension ProxyFixture {
    /// What the store holds of a browser's session.
    func stored(_ browser: Browser) async throws -> StoredVersion? {
        guard let id = browser.cookies["session"] else { return nil }
        return try await stored(id)
    }

    func stored(_ id: String) async throws -> StoredVersion? {
        try await store.version(of: id, on: group.next()).get()
    }

    /// Index of the instance that the browser's affinity cookie names.
    func home(of browser: Browser) throws -> Int {
        let value = try #require(browser.cookies["UNSTICK"])
        let name = value.prefix { $0 != "~" }
        return try #require(link.table.instances.firstIndex { $0.name == name })
    }

    /// Closes the proxy's idle upstream connections, as a restart of an instance would.
    func dropConnections() async throws {
        for bound in proxy.loops {
            try await bound.eventLoop.submit {
                for pool in bound.value.table.pools { pool.closeIdle() }
            }.get()
        }
    }

    /// Sends bytes as they are and returns everything until the proxy closes.
    func raw(_ text: String) async throws -> String {
        try await rawBytes(ByteBuffer(string: text))
    }

    func rawBytes(_ bytes: ByteBuffer) async throws -> String {
        let channel = try await ClientBootstrap(group: group)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(bytes)
            var all = ByteBuffer()
            do {
                for try await var part in inbound { all.writeBuffer(&part) }
            } catch is ChannelError {
            } catch is IOError {
                // A reset behind the answer: what was read counts.
            }
            return String(buffer: all)
        }
    }
}

extension ProxyFixture {
    /// Sends a request, waits for `condition`, and closes the connection without reading an answer.
    func sendAndHangUp(_ text: String, when condition: () async throws -> Void) async throws {
        let channel = try await ClientBootstrap(group: group).connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(ByteBuffer(string: text))
        try await condition()
        try await channel.close()
    }

    /// Waits until the proxy has noticed that a client has gone in the middle of its request.
    func untilOrphaned() async {
        while true {
            var orphans = 0
            for bound in proxy.loops {
                orphans += (try? await bound.eventLoop.submit { bound.value.orphanCount }.get()) ?? 0
            }
            if orphans > 0 { return }
            await Task.yield()
        }
    }
}
