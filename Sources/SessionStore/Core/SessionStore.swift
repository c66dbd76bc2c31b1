public import NIOCore
public import UnstickCore

/// The external session store.
///
/// Every operation returns at once and completes its future on the given event loop; no driver blocks a loop. Failures
/// are ``StoreError``. "Live" means: not expired by the driver's wall clock. Expired records and tombstones read as
/// absent. "Expired" means that `expiresAt` is not after now. Ids are compared byte by byte, not as Unicode does. What
/// breaks a limit of ``SessionRecord`` fails as `invalid`. All drivers pass the suite in `Tests/SessionStoreContract`.
public protocol SessionStore: Sendable {
    /// The current mirroring run; `Generation.none` before the first.
    func generation(on eventLoop: any EventLoop) -> EventLoopFuture<Generation>

    /// Durably makes `generation` the current one. An older one than the current is refused by `false`; the current one
    /// again is `true`.
    func begin(_ generation: Generation, on eventLoop: any EventLoop) -> EventLoopFuture<Bool>

    /// Version and tag of a live record or tombstone, of any generation: the caller compares.
    func version(of id: String, on eventLoop: any EventLoop) -> EventLoopFuture<StoredVersion?>

    /// A live record or tombstone, of any generation.
    func load(_ id: String, on eventLoop: any EventLoop) -> EventLoopFuture<SessionRecord?>

    /// Writes the record if `condition` holds. Completes when the write is durable. Records with `isTombstone` belong
    /// in ``destroy(_:on:)``.
    func save(
        _ record: SessionRecord, when condition: SaveCondition, on eventLoop: any EventLoop
    ) -> EventLoopFuture<SaveOutcome>

    /// Moves expiry, ttl and home of a live record of this generation without a new version. Never brings back a
    /// tombstone and never shortens a life that another request has prolonged: the later expiry stands. `false`: there
    /// was no such record.
    func touch(
        _ id: String, generation: Generation, ttlSeconds: Int64, expiresAt: UnixMilliseconds, home: String,
        on eventLoop: any EventLoop
    ) -> EventLoopFuture<Bool>

    /// Replaces whatever is there, of this or an older generation, by the tombstone given (`isTombstone` set, state
    /// empty). A tombstone beats every version of its generation until it expires. `superseded`: a newer generation is
    /// there; `tombstoned`: a tombstone that lasts at least as long is.
    func destroy(_ tombstone: SessionRecord, on eventLoop: any EventLoop) -> EventLoopFuture<SaveOutcome>

    /// Live records and tombstones of every generation, `limit` (1 to 10,000) at a time, in a stable order: a session
    /// that lives during the whole scan is in exactly one page, whatever else comes and goes. The cursor is a secret
    /// like an id.
    func scan(after cursor: String?, limit: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ScanPage>

    /// Deletes up to `limit` (1 to 10,000) records that have expired or are of a generation older than `generation`.
    /// - Returns: how many it deleted; fewer than `limit` means that none is left.
    func sweep(olderThan generation: Generation, limit: Int, on eventLoop: any EventLoop) -> EventLoopFuture<Int>

    /// Checks reachability, durability and eviction with a real write and read.
    func probe(on eventLoop: any EventLoop) -> EventLoopFuture<StoreProbe>

    /// Completes what was accepted, then releases all resources. Operations after it fail as `unavailable`.
    func shutdown() async throws
}
