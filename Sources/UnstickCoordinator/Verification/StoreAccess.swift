import NIOCore
import SessionStore
import UnstickCore

/// The store with a deadline around every wait, for callers that are tasks and not event loops.
struct StoreAccess: Sendable {
    let store: any SessionStore
    let eventLoop: any EventLoop
    let deadline: TimeAmount

    func version(of id: String) async throws -> StoredVersion? {
        try await settled(store.version(of: id, on: eventLoop))
    }

    /// In the order of `ids`. One wait for all, so that a driver can answer them in one batch.
    func versions(of ids: [String]) async throws -> [StoredVersion?] {
        let answers = ids.map { store.version(of: $0, on: eventLoop) }
        return try await settled(EventLoopFuture.whenAllSucceed(answers, on: eventLoop))
    }

    func load(_ id: String) async throws -> SessionRecord? { try await settled(store.load(id, on: eventLoop)) }

    func save(_ record: SessionRecord, when condition: SaveCondition) async throws -> SaveOutcome {
        try await settled(store.save(record, when: condition, on: eventLoop))
    }

    func destroy(_ tombstone: SessionRecord) async throws -> SaveOutcome {
        try await settled(store.destroy(tombstone, on: eventLoop))
    }

    func scan(after cursor: String?, limit: Int) async throws -> ScanPage {
        try await settled(store.scan(after: cursor, limit: limit, on: eventLoop))
    }

    /// A promise may be completed twice; the first time counts.
    private func settled<Value: Sendable>(_ answer: EventLoopFuture<Value>) async throws -> Value {
        let promise = eventLoop.makePromise(of: Value.self)
        let timeout = eventLoop.scheduleTask(in: deadline) {
            promise.fail(
                StoreError(code: .timedOut, message: "no answer within \(deadline.nanoseconds / 1_000_000) ms"))
        }
        answer.whenComplete { result in
            timeout.cancel()
            promise.completeWith(result)
        }
        return try await promise.futureResult.get()
    }
}
