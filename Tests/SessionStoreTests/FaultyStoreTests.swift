import MemorySessionStore
import NIOCore
import SessionStore
import SessionStoreContract
import Testing
import UnstickCore

@Suite("Faults on demand")
struct FaultyStoreTests {
    private let clock = AdjustableClock()
    private let memory: MemorySessionStore
    private let store: FaultyStore

    init() {
        memory = MemorySessionStore(clock: clock.now)
        store = FaultyStore(memory)
    }

    private func record(_ version: UInt64) -> SessionRecord {
        ContractSubject(store: store, clock: clock, eventLoops: loops).record("a", version: version)
    }

    @Test("a failed request is not done, a failed answer is")
    func failures() async throws {
        let error = StoreError(code: .full, message: "test")
        store.fail([.save], with: error)
        #expect(await failure(store.save(record(1), when: .newerWins, on: loop)) == error)
        #expect(try await store.version(of: "a", on: loop).get() == nil)
        store.fail([.save], with: error, at: .answer)
        #expect(await failure(store.save(record(1), when: .newerWins, on: loop)) == error)
        #expect(try await store.version(of: "a", on: loop).get() != nil)
        store.heal()
        #expect(try await store.save(record(2), when: .newerWins, on: loop).get() == .stored(record(2).version))
        #expect(store.calls(of: .save) == 3)
    }

    @Test("a held operation waits for its release", arguments: [FaultyStore.Stage.request, .answer])
    func holding(stage: FaultyStore.Stage) async throws {
        store.hold([.save], at: stage)
        let futures = [1, 2].map { store.save(record($0), when: .newerWins, on: loop) }
        await store.untilHeld(2)
        let isDone = try await memory.version(of: "a", on: loop).get() != nil
        #expect(isDone == (stage == .answer))
        store.release(1)
        #expect(try await futures[0].get() == .stored(record(1).version))
        #expect(store.heldCount == 1)
        store.heal()
        #expect(try await futures[1].get() == .stored(record(2).version))
    }
}
