public import UnstickCore

/// What the coordinator is told at its start; all durations have defaults that suit a handful of proxies.
public struct CoordinatorOptions: Sendable {
    /// The migration's name; `complete` asks for it.
    public var migration: String
    /// As configured; their states come from the journal.
    public var instances: [RoutingTable.Instance]
    /// A proxy that has not reported for longer is not alive.
    public var silenceLimit: Duration = .seconds(5)
    /// How long a step waits for acknowledgements when the request does not say.
    public var acknowledgementTimeout: Duration = .seconds(60)
    /// How long gates that mend themselves with the next report (alive, settled, queues, dirty) are asked again.
    public var gatePatience: Duration = .seconds(5)
    /// How long the ramp must have been at 100 % before `complete`.
    public var soak: Duration = .seconds(60)
    /// Largest share of answers with a status of 500 and up that `switch` and `complete` accept, 0 to 1.
    public var errorRateMax: Double = 0.05
    /// Largest 99th percentile of the time to a response head that `switch` accepts; nil: no limit.
    public var responseP99Max: Duration?
    /// How long a drain waits when the request does not say.
    public var drainDeadline: Duration = .seconds(900)
    /// How often a verification looks again at sessions that moved.
    public var verificationPasses = 8
    /// After how many consecutive failed checks an instance is fenced.
    public var fencingFailures = 3
    /// Between two looks at instances and pending relaxations.
    public var checkInterval: Duration = .seconds(1)
    /// Between two verifications in the background.
    public var verificationInterval: Duration = .seconds(5)
    /// Between two sweeps of expired records and older generations.
    public var sweepInterval: Duration = .seconds(60)
    /// Whether `mirror` accepts a store that forgets when its process dies; for demonstrations.
    public var acceptsVolatileStore = false
    /// Whether clients without a cookie are pinned by their address (`affinity.method: ip-hash`): then another set of
    /// instances is another home for some of them.
    public var pinsByAddress = false
    /// Where the wanted instances come from at run time; nil: nowhere, they change by command only.
    public var instanceSource: InstanceSource?
    /// Whether requests may name a journal entry at which the coordinator kills itself; for rehearsals.
    public var allowsKillPoints = false

    public init(migration: String, instances: [RoutingTable.Instance]) {
        self.migration = migration
        self.instances = instances
    }
}

/// Time as the coordinator sees it, so that tests choose it.
public struct CoordinatorClock: Sendable {
    /// For what people read and what must survive a restart.
    public var wall: WallClock
    /// Time since some fixed moment, never going back; for every wait.
    public var monotonic: @Sendable () -> Duration

    public init(wall: @escaping WallClock, monotonic: @escaping @Sendable () -> Duration) {
        self.wall = wall
        self.monotonic = monotonic
    }

    public static var system: CoordinatorClock {
        let start = ContinuousClock.now
        return CoordinatorClock(
            wall: { SystemTime.now() },
            monotonic: { ContinuousClock.now - start }
        )
    }
}
