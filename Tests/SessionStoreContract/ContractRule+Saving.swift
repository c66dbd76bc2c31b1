import NIOCore
import SessionStore
import Testing
import UnstickCore

extension ContractRule {
    static let saving: [ContractRule] = [
        ContractRule("what was never saved is absent") { subject async throws in
            #expect(try await subject.load("nobody") == nil)
            #expect(try await subject.version("nobody") == nil)
        },
        ContractRule("a saved record is read back whole, and its version without the state") { subject async throws in
            let record = subject.record("a", version: 3, ttl: 77)
            #expect(try await subject.save(record) == .stored(tag(3)))
            #expect(try await subject.load("a") == record)
            #expect(try await subject.version("a") == record.stored)
        },
        ContractRule("newer wins: a higher version replaces, an equal or lower one is superseded") {
            subject async throws in
            let second = subject.record("a", version: 2)
            _ = try await subject.save(second)
            #expect(try await subject.save(subject.record("a", version: 1)) == .superseded(second.stored))
            let other = subject.record("a", version: 2, tag: 7, writer: "inc-b")
            #expect(try await subject.save(other) == .superseded(second.stored))
            #expect(try await subject.load("a") == second)
            let third = subject.record("a", version: 3, tag: 8, writer: "inc-b", home: "web-2")
            #expect(try await subject.save(third) == .stored(tag(3, 8)))
            #expect(try await subject.load("a") == third)
        },
        ContractRule("compare-and-set on no record succeeds once") { subject async throws in
            let first = subject.record("a", version: 1)
            #expect(try await subject.save(first, .base(nil)) == .stored(tag(1)))
            let other = subject.record("a", version: 1, tag: 5, writer: "inc-b")
            #expect(try await subject.save(other, .base(nil)) == .conflict(first.stored))
        },
        ContractRule("compare-and-set needs the very version and tag") { subject async throws in
            let first = subject.record("a", version: 1)
            _ = try await subject.save(first)
            for base in [tag(1, 5), tag(2), tag(0)] {
                let outcome = try await subject.save(subject.record("a", version: 2), .base(base))
                #expect(outcome == .conflict(first.stored), "base \(base)")
            }
            #expect(try await subject.save(subject.record("a", version: 2), .base(tag(1))) == .stored(tag(2)))
        },
        ContractRule("compare-and-set on a base that is gone conflicts with nothing") { subject async throws in
            #expect(try await subject.save(subject.record("a", version: 2), .base(tag(1))) == .conflict(nil))
            #expect(
                try await subject.save(subject.record("a", version: 2), .baseOrSameWriter(tag(1))) == .conflict(nil))
            #expect(try await subject.load("a") == nil)
        },
        ContractRule("the writer of the current version is ordered by version alone") { subject async throws in
            let fourth = subject.record("a", version: 4)
            _ = try await subject.save(fourth)
            let late = subject.record("a", version: 3, tag: 1)
            #expect(try await subject.save(late, .baseOrSameWriter(tag(2))) == .superseded(fourth.stored))
            let fifth = subject.record("a", version: 5, tag: 2)
            #expect(try await subject.save(fifth, .baseOrSameWriter(tag(2))) == .stored(tag(5, 2)))
        },
        ContractRule("another writer than the current version's needs the base") { subject async throws in
            let first = subject.record("a", version: 1)
            _ = try await subject.save(first)
            let second = subject.record("a", version: 2, writer: "inc-b")
            #expect(try await subject.save(second, .baseOrSameWriter(tag(0))) == .conflict(first.stored))
            #expect(try await subject.save(second, .baseOrSameWriter(nil)) == .conflict(first.stored))
            #expect(try await subject.save(second, .baseOrSameWriter(tag(1))) == .stored(tag(2)))
        },
        ContractRule("overwrite numbers its version above the current one") { subject async throws in
            _ = try await subject.save(subject.record("a", version: 9))
            let low = subject.record("a", version: 3, tag: 5, writer: "inc-b")
            #expect(try await subject.save(low, .overwrite) == .stored(tag(10, 5)))
            #expect(try await subject.load("a")?.version == tag(10, 5))
            let high = subject.record("a", version: 20, tag: 6, writer: "inc-b")
            #expect(try await subject.save(high, .overwrite) == .stored(tag(20, 6)))
        },
        ContractRule("the same version of the same writer again changes nothing, whatever the condition") {
            subject async throws in
            let first = subject.record("a", version: 2)
            _ = try await subject.save(first)
            let conditions: [SaveCondition] = [
                .newerWins, .base(tag(1)), .base(tag(2)), .baseOrSameWriter(tag(1)), .overwrite,
            ]
            for condition in conditions {
                let outcome = try await subject.save(first, condition)
                #expect(outcome == .superseded(first.stored), "\(condition)")
            }
            #expect(try await subject.load("a") == first)
        },
        ContractRule("a newer generation replaces any version, an older one none") { subject async throws in
            let old = subject.record("a", version: 50)
            _ = try await subject.save(old)
            let new = subject.record("a", version: 1, generation: 2)
            #expect(try await subject.save(new, .base(tag(49))) == .stored(tag(1)))
            for condition in [SaveCondition.newerWins, .base(tag(1)), .baseOrSameWriter(tag(1)), .overwrite] {
                let outcome = try await subject.save(subject.record("a", version: 60), condition)
                #expect(outcome == .superseded(new.stored), "\(condition)")
            }
            #expect(try await subject.load("a") == new)
        },
        ContractRule("a record reads as absent from the millisecond of its expiry on") { subject async throws in
            _ = try await subject.save(subject.record("a", version: 5, ttl: 10))
            subject.clock.advance(milliseconds: 9_999)
            #expect(try await subject.version("a") != nil)
            subject.clock.advance(milliseconds: 1)
            #expect(try await subject.version("a") == nil)
            #expect(try await subject.load("a") == nil)
            #expect(try await subject.scan(limit: 10) == [])
        },
        ContractRule("an expired record is no obstacle and no base") { subject async throws in
            _ = try await subject.save(subject.record("a", version: 5, ttl: 10))
            subject.clock.advance(seconds: 10)
            #expect(try await subject.save(subject.record("a", version: 6), .base(tag(5))) == .conflict(nil))
            let fresh = subject.record("a", version: 1, writer: "inc-b")
            #expect(try await subject.save(fresh, .base(nil)) == .stored(tag(1)))
            #expect(try await subject.load("a") == fresh)
        },
    ]

    static let generations: [ContractRule] = [
        ContractRule("the generation starts at none and only grows") { subject async throws in
            let store = subject.store
            let loop = subject.eventLoop
            #expect(try await store.generation(on: loop).get() == .none)
            #expect(try await store.begin(Generation(3), on: loop).get())
            #expect(try await store.generation(on: loop).get() == Generation(3))
            #expect(try await store.begin(Generation(3), on: loop).get())
            #expect(try await store.begin(Generation(2), on: loop).get() == false)
            #expect(try await store.generation(on: loop).get() == Generation(3))
            #expect(try await store.begin(Generation(9), on: loop).get())
            #expect(try await store.generation(on: loop).get() == Generation(9))
        },
        ContractRule("records of older generations can still be read: the caller compares") { subject async throws in
            let record = subject.record("a", version: 1)
            _ = try await subject.save(record)
            #expect(try await subject.store.begin(Generation(2), on: subject.eventLoop).get())
            #expect(try await subject.load("a") == record)
        },
    ]
}
