internal import UnstickCore

extension ConfigurationTable where Root == ConfigurationDraft {
    /// Balancing, and instances that change while the processes run.
    static var balanceKeys: [ConfigurationKey<ConfigurationDraft>] {
        typealias Key = ConfigurationKey<ConfigurationDraft>
        return [
            Key(
                "balance", .word(Configuration.Balance.allCases), \.configuration.balance,
                "How requests without a home are spread. Weights count in `weighted-*`, `random`, `power-of-two` and "
                    + "`consistent`; weight 0 counts in all."),
            Key(
                "slow-start.time", .duration(.zero...(.seconds(3600))), \.configuration.slowStart.time,
                "For how long an instance that is new or healthy again gets less than its share; `0`: not at all."),
            Key(
                "slow-start.floor", .count(1...100), \.configuration.slowStart.floor,
                "Its share at the beginning, percent of the full one."),
            Key(
                "coordinator.watch-instances", .truth, \.configuration.coordinator.watchInstances,
                "Whether changes of `instances` in this file are followed while the coordinator runs: what is new joins, "
                    + "what is gone is drained."),
            Key(
                "coordinator.watch-interval", .duration(.seconds(1)...(.seconds(3600))),
                \.configuration.coordinator.watchInterval,
                "Between two looks at this file, and between two look-ups of each `discover` name."),
        ]
    }
}
