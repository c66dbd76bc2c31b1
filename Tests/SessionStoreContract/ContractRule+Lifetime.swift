import NIOCore
import SessionStore
import Testing
import UnstickCore

extension ContractRule {
    static let destroying: [ContractRule] = [
        ContractRule("a tombstone replaces the record, also one of a higher version") { subject async throws in
            _ = try await subject.save(subject.record("a", version: 9))
            let tombstone = subject.tombstone("a", version: 4)
            #expect(try await subject.destroy(tombstone) == .stored(tag(4, 0)))
            #expect(try await subject.load("a") == tombstone)
            #expect(try await subject.version("a")?.isTombstone == true)
        },
        ContractRule("a tombstone can be put where nothing was") { subject async throws in
            #expect(try await subject.destroy(subject.tombstone("a", version: 1)) == .stored(tag(1, 0)))
            #expect(try await subject.version("a")?.isTombstone == true)
        },
        ContractRule("a tombstone beats every save of its generation until it expires") { subject async throws in
            let tombstone = subject.tombstone("a", version: 2, ttl: 60)
            _ = try await subject.destroy(tombstone)
            let conditions: [SaveCondition] = [
                .newerWins, .base(nil), .base(tag(2, 0)), .baseOrSameWriter(tag(2, 0)), .overwrite,
            ]
            for condition in conditions {
                let outcome = try await subject.save(subject.record("a", version: 99), condition)
                #expect(outcome == .tombstoned(tombstone.stored), "\(condition)")
            }
            subject.clock.advance(seconds: 60)
            #expect(try await subject.version("a") == nil)
            #expect(try await subject.save(subject.record("a", version: 1), .base(nil)) == .stored(tag(1)))
        },
        ContractRule("destroying again prolongs a tombstone and never shortens it") { subject async throws in
            let first = subject.tombstone("a", version: 2, ttl: 60)
            _ = try await subject.destroy(first)
            #expect(try await subject.destroy(subject.tombstone("a", version: 3, ttl: 30)) == .tombstoned(first.stored))
            #expect(try await subject.load("a") == first)
            let longer = subject.tombstone("a", version: 3, ttl: 90)
            #expect(try await subject.destroy(longer) == .stored(tag(3, 0)))
            #expect(try await subject.load("a") == longer)
        },
        ContractRule("a tombstone ends with its generation") { subject async throws in
            _ = try await subject.destroy(subject.tombstone("a", version: 2))
            let new = subject.record("a", version: 1, generation: 2)
            #expect(try await subject.save(new, .base(nil)) == .stored(tag(1)))
            #expect(try await subject.destroy(subject.tombstone("a", version: 5)) == .superseded(new.stored))
            #expect(try await subject.load("a") == new)
        },
        ContractRule("save refuses tombstones, destroy refuses records") { subject async throws in
            let loop = subject.eventLoop
            let tombstone = subject.tombstone("a", version: 1)
            let record = subject.record("a", version: 1)
            #expect(await subject.failure(subject.store.save(tombstone, when: .overwrite, on: loop))?.code == .invalid)
            #expect(await subject.failure(subject.store.destroy(record, on: loop))?.code == .invalid)
            #expect(try await subject.version("a") == nil)
        },
    ]

    static let touching: [ContractRule] = [
        ContractRule("touch moves expiry, ttl and home, and nothing else") { subject async throws in
            var record = subject.record("a", version: 4, ttl: 10)
            _ = try await subject.save(record)
            subject.clock.advance(seconds: 5)
            #expect(try await subject.touch("a", ttl: 20, home: "web-2"))
            record.expiresAt = subject.clock.time.adding(seconds: 20)
            record.ttlSeconds = 20
            record.home = "web-2"
            #expect(try await subject.load("a") == record)
            subject.clock.advance(seconds: 19)
            #expect(try await subject.version("a") == record.stored)
        },
        ContractRule("touch never shortens a life") { subject async throws in
            let record = subject.record("a", version: 4, ttl: 100)
            _ = try await subject.save(record)
            #expect(try await subject.touch("a", ttl: 5))
            #expect(try await subject.version("a")?.expiresAt == record.expiresAt)
        },
        ContractRule("touch finds no absent, expired, destroyed or other generation's record") { subject async throws in
            #expect(try await subject.touch("nobody", ttl: 60) == false)
            _ = try await subject.save(subject.record("expired", version: 1, ttl: 10))
            let tombstone = subject.tombstone("destroyed", version: 1)
            _ = try await subject.destroy(tombstone)
            let newer = subject.record("newer", version: 1, generation: 2)
            _ = try await subject.save(newer)
            subject.clock.advance(seconds: 10)
            #expect(try await subject.touch("expired", ttl: 60) == false)
            #expect(try await subject.version("expired") == nil)
            #expect(try await subject.touch("destroyed", ttl: 6000) == false)
            #expect(try await subject.load("destroyed") == tombstone)
            #expect(try await subject.touch("newer", generation: 1, ttl: 6000) == false)
            #expect(try await subject.touch("newer", generation: 3, ttl: 6000) == false)
            #expect(try await subject.load("newer") == newer)
        },
    ]

    static let scanning: [ContractRule] = [
        ContractRule("a scan of an empty store is one empty page") { subject async throws in
            let page = try await subject.store.scan(after: nil, limit: 10, on: subject.eventLoop).get()
            #expect(page == ScanPage(sessions: [], next: nil))
        },
        ContractRule(
            "a scan returns every live record and tombstone of every generation once",
            { subject async throws in
                var expected: [String: StoredVersion] = [:]
                for number in 0..<57 {
                    let generation = UInt64(number % 3) + 1
                    let record = subject.record("s\(number)", version: UInt64(number) + 1, generation: generation)
                    _ = try await subject.save(record)
                    expected[record.id] = record.stored
                }
                let tombstone = subject.tombstone("s3", version: 90)
                _ = try await subject.destroy(tombstone)
                expected["s3"] = tombstone.stored
                for limit in [1, 7, 57, 10_000] {
                    let found = try await subject.scan(limit: limit)
                    #expect(found.count == 57, "limit \(limit)")
                    #expect(
                        Dictionary(found.map { ($0.id, $0.stored) }) { first, _ in first } == expected, "limit \(limit)"
                    )
                }
            }),
        ContractRule("a session that lives during the whole scan is found, whatever else comes and goes") {
            subject async throws in
            for number in 0..<40 { _ = try await subject.save(subject.record("keep-\(number)", version: 1)) }
            for number in 0..<40 { _ = try await subject.save(subject.record("go-\(number)", version: 1, ttl: 10)) }
            var round = 0
            let found = try await subject.scan(limit: 6) {
                if round < 10 {
                    for number in 0..<5 {
                        _ = try await subject.save(subject.record("a-\(round)-\(number)", version: 1))
                        _ = try await subject.save(subject.record("z-\(round)-\(number)", version: 1, ttl: 10))
                    }
                    // Changes do not move a session to another place.
                    _ = try await subject.save(subject.record("keep-\(round)", version: 2))
                }
                if round == 2 {
                    subject.clock.advance(seconds: 10)
                    _ = try await subject.sweep()
                }
                round += 1
            }
            let ids = found.map(\.id)
            #expect(Set(ids).count == ids.count, "no session is found twice")
            #expect(Set(ids).isSuperset(of: (0..<40).map { "keep-\($0)" }))
        },
        ContractRule("a limit outside 1 to 10,000 is refused") { subject async throws in
            for limit in [-1, 0, 10_001] {
                let scan = await subject.failure(subject.store.scan(after: nil, limit: limit, on: subject.eventLoop))
                #expect(scan?.code == .invalid)
                #expect(scan?.message.contains("\(limit)") == true)
                let sweep = await subject.failure(
                    subject.store.sweep(olderThan: .none, limit: limit, on: subject.eventLoop))
                #expect(sweep?.code == .invalid)
            }
        },
    ]

    static let sweeping: [ContractRule] = [
        ContractRule("a sweep deletes expired records, tombstones and older generations, and nothing else") {
            subject async throws in
            _ = try await subject.save(subject.record("live", version: 1, generation: 2))
            _ = try await subject.save(subject.record("live-newer", version: 1, generation: 3))
            _ = try await subject.save(subject.record("older", version: 1, generation: 1))
            _ = try await subject.save(subject.record("expired", version: 1, generation: 2, ttl: 10))
            _ = try await subject.save(subject.record("expired-newer", version: 1, generation: 3, ttl: 10))
            _ = try await subject.destroy(subject.tombstone("destroyed", version: 1, generation: 2))
            _ = try await subject.destroy(subject.tombstone("buried", version: 1, generation: 2, ttl: 10))
            subject.clock.advance(seconds: 10)
            #expect(try await subject.sweep(olderThan: 2) == 4)
            #expect(Set(try await subject.scan(limit: 10).map(\.id)) == ["live", "live-newer", "destroyed"])
            #expect(try await subject.sweep(olderThan: 2) == 0)
        },
        ContractRule("a sweep keeps to its limit and says how many it deleted") { subject async throws in
            for number in 0..<5 { _ = try await subject.save(subject.record("e\(number)", version: 1, ttl: 10)) }
            for number in 0..<5 {
                _ = try await subject.save(subject.record("o\(number)", version: 1, generation: 1))
                _ = try await subject.save(subject.record("n\(number)", version: 1, generation: 2))
            }
            subject.clock.advance(seconds: 10)
            #expect(try await subject.sweep(olderThan: 2, limit: 7) == 7)
            #expect(try await subject.sweep(olderThan: 2, limit: 7) == 3)
            #expect(try await subject.scan(limit: 100).count == 5)
        },
    ]
}
