import NIOCore
import SessionStore
import Testing
import UnstickCore

extension ContractRule {
    static let contents: [ContractRule] = [
        ContractRule("ids with odd characters are kept apart, byte by byte") { subject async throws in
            let ids = [
                "'; DROP TABLE sessions; --", "\"quoted\"", "a b\tc", "back\\slash", "%", "_", "*", "null\0inside",
                "null",
                "é", "e\u{301}", "日本語", "😀", "A", "a", " a", String(repeating: "x", count: 4096),
                String(repeating: "x", count: 4095), "s:abc.def/+=", "{tag}:id",
            ]
            var records: [SessionRecord] = []
            for (number, id) in ids.enumerated() {
                let record = subject.record(id, version: UInt64(number) + 1)
                #expect(try await subject.save(record, .base(nil)) == .stored(record.version), "id \(number)")
                records.append(record)
            }
            for (number, record) in records.enumerated() {
                #expect(try await subject.load(record.id) == record, "id \(number)")
            }
            let found = try await subject.scan(limit: 3)
            #expect(found.count == ids.count)
            #expect(Set(found.map { Array($0.id.utf8) }) == Set(ids.map { Array($0.utf8) }))
        },
        ContractRule("an empty id and one over 4096 bytes are refused, without naming it") { subject async throws in
            let store = subject.store
            let loop = subject.eventLoop
            let long = String(repeating: "é", count: 2048) + "x"
            let errors = [
                await subject.failure(store.load(long, on: loop)),
                await subject.failure(store.version(of: long, on: loop)),
                await subject.failure(store.save(subject.record(long, version: 1), when: .newerWins, on: loop)),
                await subject.failure(store.destroy(subject.tombstone(long, version: 1), on: loop)),
                await subject.failure(
                    store.touch(
                        long, generation: Generation(1), ttlSeconds: 1, expiresAt: subject.clock.time, home: "",
                        on: loop)),
            ]
            for error in errors {
                #expect(error?.code == .invalid)
                #expect(error?.message.contains("4097") == true)
                #expect(error?.message.contains("ééé") == false)
            }
            #expect(await subject.failure(store.load("", on: loop))?.code == .invalid)
        },
        ContractRule("fields over their limits are refused with the field's name") { subject async throws in
            let good = subject.record("a", version: 1)
            let changes: [(field: String, change: (inout SessionRecord) -> Void)] = [
                ("codec", { $0.codec = String(repeating: "x", count: 33) }),
                ("codec", { $0.codec = "jsön" }),
                ("home", { $0.home = String(repeating: "x", count: 257) }),
                ("writer", { $0.writer = String(repeating: "x", count: 257) }),
                ("ttl", { $0.ttlSeconds = -1 }),
                ("version", { $0.version = tag(UInt64(Int64.max) + 1) }),
                ("generation", { $0.generation = Generation(UInt64.max) }),
                ("state", { $0.state = ByteBuffer(repeating: 0, count: (16 << 20) + 1) }),
            ]
            for (field, change) in changes {
                var record = good
                change(&record)
                let error = await subject.failure(
                    subject.store.save(record, when: .newerWins, on: subject.eventLoop))
                #expect(error?.code == .invalid)
                #expect(error?.message.contains(field) == true, "\(field): \(error?.message ?? "")")
            }
            #expect(try await subject.load("a") == nil)
        },
        ContractRule("a state keeps every byte, empty ones too") { subject async throws in
            let states = [
                ByteBuffer(), ByteBuffer(bytes: (0...255).map { UInt8($0) }), ByteBuffer(repeating: 0, count: 3),
                ByteBuffer(bytes: (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }),
            ]
            for (number, state) in states.enumerated() {
                let record = subject.record("s\(number)", version: 1, state: state)
                _ = try await subject.save(record)
                #expect(try await subject.load(record.id)?.state == state)
                #expect(try await subject.version(record.id)?.size == state.readableBytes)
            }
        },
        ContractRule("a part of a larger buffer is stored as that part") { subject async throws in
            var buffer = ByteBuffer(string: "before-STATE-after")
            buffer.moveReaderIndex(forwardBy: 7)
            let record = subject.record("a", version: 1, state: buffer.readSlice(length: 5)!)
            _ = try await subject.save(record)
            #expect(try await subject.load("a")?.state == ByteBuffer(string: "STATE"))
        },
        ContractRule(
            "states of 1 MiB and of 16 MiB are kept",
            { subject async throws in
                for size in [1 << 20, 16 << 20] {
                    var state = ByteBuffer(repeating: UInt8(ascii: "x"), count: size)
                    state.setInteger(UInt64(size), at: size - 8)
                    let record = subject.record("big-\(size)", version: 1, state: state)
                    #expect(try await subject.save(record) == .stored(tag(1)))
                    #expect(try await subject.load(record.id)?.state == state)
                    let smaller = subject.record("big-\(size)", version: 2)
                    _ = try await subject.save(smaller)
                    #expect(try await subject.load(record.id) == smaller)
                }
            }),
        ContractRule("the highest version and tag are kept, and overwrite does not overflow") { subject async throws in
            let top = subject.record("a", version: UInt64(Int64.max), tag: .max)
            _ = try await subject.save(top)
            #expect(try await subject.version("a")?.version == tag(UInt64(Int64.max), .max))
            let more = subject.record("a", version: 1, tag: 0, writer: "inc-b")
            #expect(try await subject.save(more, .overwrite) == .stored(tag(UInt64(Int64.max) + 1, 0)))
            #expect(try await subject.version("a")?.version == tag(UInt64(Int64.max) + 1, 0))
        },
        ContractRule("a probe says what the store is and how long a round trip takes") { subject async throws in
            let probe = try await subject.store.probe(on: subject.eventLoop).get()
            #expect(!probe.description.isEmpty)
            #expect(probe.roundTrip >= .zero)
            #expect(probe.isDurable || !probe.problems.isEmpty)
            #expect(try await subject.scan(limit: 10) == [], "a probe leaves no session behind")
        },
        ContractRule("after the shutdown every operation fails as unavailable") { subject async throws in
            let store = subject.store
            let loop = subject.eventLoop
            let accepted = store.save(subject.record("a", version: 1), when: .newerWins, on: loop)
            try await store.shutdown()
            #expect(try await accepted.get() == .stored(tag(1)), "what was accepted is completed")
            #expect(await subject.failure(store.load("a", on: loop))?.code == .unavailable)
            let save = await subject.failure(store.save(subject.record("a", version: 2), when: .newerWins, on: loop))
            #expect(save?.code == .unavailable)
            #expect(await subject.failure(store.generation(on: loop))?.code == .unavailable)
        },
    ]

    static let concurrency: [ContractRule] = [
        ContractRule(
            "of 1,000 concurrent compare-and-sets on one id, one wins each version",
            { subject async throws in
                let rounds: UInt64 = 4
                for round in 1...rounds {
                    let base = round == 1 ? nil : tag(round - 1, try await subject.version("a")!.version.tag)
                    let futures = (0..<1000).map { number in
                        subject.store.save(
                            subject.record("a", version: round, tag: UInt32(number), writer: "inc-\(number)"),
                            when: .base(base), on: subject.eventLoops[number % subject.eventLoops.count])
                    }
                    var winners: [VersionTag] = []
                    for future in futures {
                        switch try await future.get() {
                        case .stored(let version): winners.append(version)
                        case .conflict: break
                        case let outcome: Issue.record("unexpected \(outcome)")
                        }
                    }
                    #expect(winners.count == 1)
                    #expect(try await subject.version("a")?.version == winners.first)
                }
            }),
        ContractRule("1,000 concurrent saves of different ids are all kept") { subject async throws in
            let futures = (0..<1000).map { number in
                subject.store.save(
                    subject.record("s\(number)", version: 1), when: .base(nil),
                    on: subject.eventLoops[number % subject.eventLoops.count])
            }
            for future in futures { #expect(try await future.get() == .stored(tag(1))) }
            #expect(try await subject.scan(limit: 300).count == 1000)
        },
        ContractRule("of many concurrent newer-wins saves of one id the highest version stays") {
            subject async throws in
            let versions = (1...200).map { UInt64($0 * 7919 % 211) }
            let futures = versions.map { version in
                subject.store.save(
                    subject.record("a", version: version), when: .newerWins,
                    on: subject.eventLoops[Int(version) % subject.eventLoops.count])
            }
            for future in futures { _ = try await future.get() }
            #expect(try await subject.version("a")?.version.version == versions.max())
        },
        ContractRule("a read that begins after a save completed sees it") { subject async throws in
            for version in 1...100 as ClosedRange<UInt64> {
                _ = try await subject.save(subject.record("a", version: version))
                let loop = subject.eventLoops[Int(version) % subject.eventLoops.count]
                #expect(try await subject.store.version(of: "a", on: loop).get()?.version.version == version)
            }
        },
        ContractRule("a read sees the save that completed before it, however many other reads are under way") {
            subject async throws in
            let store = subject.store
            let stale = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<64 {
                    let loop = subject.eventLoops[number % subject.eventLoops.count]
                    group.addTask {
                        var stale = 0
                        for version in 1...20 as ClosedRange<UInt64> {
                            let record = subject.record("s\(number)", version: version)
                            _ = try await store.save(record, when: .newerWins, on: loop).get()
                            let versions = (0..<8).map { _ in store.version(of: record.id, on: loop) }
                            for future in versions where try await future.get()?.version != record.version {
                                stale += 1
                            }
                        }
                        return stale
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(stale == 0)
        },
        ContractRule("futures complete on the event loop that was given") { subject async throws in
            for loop in subject.eventLoops {
                let inLoop = try await subject.store.save(subject.record("a", version: 1), when: .newerWins, on: loop)
                    .map { _ in loop.inEventLoop }.get()
                #expect(inLoop)
                #expect(try await subject.store.load("a", on: loop).map { _ in loop.inEventLoop }.get())
            }
        },
    ]
}
