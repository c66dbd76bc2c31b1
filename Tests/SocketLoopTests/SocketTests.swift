import NIOCore
import Testing

@testable import SocketLoop

@Suite("Sockets of the data plane's loop", .timeLimit(.minutes(1)))
struct SocketTests {
    /// Runs a body with two connected sockets, and ends the loop.
    private func withPair(_ body: (Wire, NIOLoopBound<Wire.Pair>) async throws -> Void) async throws {
        let wire = try await Wire()
        do {
            try await body(wire, try await wire.connect())
        } catch {
            try await wire.end()
            throw error
        }
        try await wire.end()
    }

    @Test("what one end sends, the other reads, in order, whether in one piece or in two")
    func bytes() async throws {
        try await withPair { wire, pair in
            try await wire.loop.flatSubmit {
                pair.value.near.send("one ")
                ByteBuffer(string: "two ").withUnsafeReadableBytes { first in
                    ByteBuffer(string: "three").withUnsafeReadableBytes { pair.value.near.send(first, $0) }
                }
                return pair.value.farRecorder.when(wire.loop) { $0.bytes.count == 13 }
            }.get()
            let text = try await wire.loop.submit { String(decoding: pair.value.farRecorder.bytes, as: UTF8.self) }
                .get()
            #expect(text == "one two three")
        }
    }

    @Test("a reader that pauses slows the writer down: the backlog passes its mark, and falls below it again")
    func backpressure() async throws {
        try await withPair { wire, pair in
            let piece = [UInt8](repeating: 7, count: 64 * 1024)
            let total = try await wire.loop.submit {
                pair.value.far.setReading(false)
                var sent = 0
                // The kernel's buffers take some; then the backlog grows.
                while pair.value.near.isWritable, sent < 1 << 30 {
                    piece.withUnsafeBytes { pair.value.near.send($0) }
                    sent += piece.count
                }
                return sent
            }.get()
            try await wire.loop.flatSubmit {
                #expect(pair.value.nearRecorder.writability == [false])
                pair.value.far.setReading(true)
                return pair.value.farRecorder.when(wire.loop) { $0.bytes.count == total }
            }.get()
            let writability = try await wire.loop.submit { pair.value.nearRecorder.writability }.get()
            #expect(writability == [false, true])
        }
    }

    @Test("a peer that closes is heard of once, behind its last bytes")
    func peerCloses() async throws {
        try await withPair { wire, pair in
            try await wire.loop.flatSubmit {
                pair.value.near.send("last words")
                pair.value.near.close()
                return pair.value.farRecorder.when(wire.loop) { $0.isClosed }
            }.get()
            let (count, isOpen, ownWord) = try await wire.loop.submit {
                (pair.value.farRecorder.bytes.count, pair.value.far.isOpen, pair.value.nearRecorder.isClosed)
            }.get()
            #expect(count == 10)
            #expect(!isOpen)
            #expect(!ownWord, "whoever closes is not told")
        }
    }

    @Test("a peer that hangs up while nobody reads is noticed when reading goes on, and nothing it said is lost")
    func hangUpWhilePaused() async throws {
        try await withPair { wire, pair in
            try await wire.loop.submit {
                pair.value.far.setReading(false)
                pair.value.near.send("kept by the kernel")
                pair.value.near.close()
            }.get()
            // Rounds of the loop in which the hang-up is there to be seen.
            for _ in 0..<5 { try await wire.loop.submit {}.get() }
            try await wire.loop.flatSubmit {
                #expect(pair.value.farRecorder.bytes.isEmpty)
                #expect(!pair.value.farRecorder.isClosed)
                pair.value.far.setReading(true)
                return pair.value.farRecorder.when(wire.loop) { $0.isClosed }
            }.get()
            let text = try await wire.loop.submit { String(decoding: pair.value.farRecorder.bytes, as: UTF8.self) }
                .get()
            #expect(text == "kept by the kernel")
        }
    }

    @Test("a connection that finishes hands its backlog over before it closes", arguments: [true, false])
    func finish(lingers: Bool) async throws {
        try await withPair { wire, pair in
            let bytes = [UInt8](repeating: 1, count: 8 << 20)
            try await wire.loop.flatSubmit {
                bytes.withUnsafeBytes { pair.value.near.send($0) }
                pair.value.near.finish(lingers: lingers)
                return pair.value.farRecorder.when(wire.loop) { $0.isClosed }
            }.get()
            let count = try await wire.loop.submit { pair.value.farRecorder.bytes.count }.get()
            #expect(count == bytes.count)
        }
    }

    @Test("bytes for a peer that has gone are dropped, and the end is reported, not raised in the middle of a send")
    func brokenPipe() async throws {
        try await withPair { wire, pair in
            try await wire.loop.flatSubmit {
                pair.value.far.close()
                for _ in 0..<50 { pair.value.near.send("nobody hears this") }
                #expect(!pair.value.nearRecorder.isClosed)
                return pair.value.nearRecorder.when(wire.loop) { $0.isClosed }
            }.get()
        }
    }

    @Test("a socket that another one's event closes is not called again")
    func closedInTheSameRound() async throws {
        try await withPair { wire, first in
            let second = try await wire.connect()
            try await wire.loop.flatSubmit {
                // Both become readable in the same round; whichever comes first closes the other one.
                first.value.farRecorder.onRead = { _ in second.value.far.close() }
                second.value.farRecorder.onRead = { _ in first.value.far.close() }
                first.value.near.send("x")
                second.value.near.send("x")
                return first.value.nearRecorder.when(wire.loop) { $0.isClosed }
                    .or(second.value.nearRecorder.when(wire.loop) { $0.isClosed })
            }.get()
            let read = try await wire.loop.submit {
                first.value.farRecorder.bytes.count + second.value.farRecorder.bytes.count
            }.get()
            #expect(read == 1)
        }
    }

    @Test("closing a descriptor tells whoever counts connections, once")
    func onClose() async throws {
        try await withPair { wire, pair in
            let counted = try await wire.loop.submit {
                var count = 0
                let descriptor = pair.value.near.detachForTests()
                let socket = Socket(descriptor: descriptor, loop: wire.loop) { count += 1 }
                socket.close()
                socket.close()
                return count
            }.get()
            #expect(counted == 1)
        }
    }
}

extension EventLoopFuture where Value == Void {
    fileprivate func or(_ other: EventLoopFuture<Void>) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        var isDone = false
        for each in [self, other] {
            each.assumeIsolated().whenComplete { _ in
                if !isDone { promise.succeed(()) }
                isDone = true
            }
        }
        return promise.futureResult
    }
}
