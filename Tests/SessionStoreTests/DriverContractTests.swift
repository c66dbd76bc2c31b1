import MemorySessionStore
import NIOCore
import NIOPosix
import SQLiteSessionStore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

/// Event loops for all tests of this target.
let loops: [any EventLoop] = Array(MultiThreadedEventLoopGroup.singleton.makeIterator())
let loop: any EventLoop = loops[0]

@Suite("Store contract")
struct DriverContractTests {
    @Test("the memory store keeps the contract", arguments: ContractRule.all)
    func memory(rule: ContractRule) async throws {
        let clock = AdjustableClock()
        let store = MemorySessionStore(clock: clock.now)
        try await rule.check(ContractSubject(store: store, clock: clock, eventLoops: loops))
        try await store.shutdown()
    }

    @Test("the SQLite store keeps the contract", arguments: ContractRule.all)
    func sqlite(rule: ContractRule) async throws {
        try await withStoreFile { file in
            let store = try file.open()
            try await rule.check(ContractSubject(store: store, clock: file.clock, eventLoops: loops))
            try await store.shutdown()
        }
    }

    @Test("a store behind a healthy FaultyStore keeps the contract", arguments: ContractRule.all)
    func faulty(rule: ContractRule) async throws {
        let clock = AdjustableClock()
        let store = FaultyStore(MemorySessionStore(clock: clock.now))
        try await rule.check(ContractSubject(store: store, clock: clock, eventLoops: loops))
        try await store.shutdown()
    }
}
