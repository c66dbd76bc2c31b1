import UnstickConfiguration
import UnstickCoordinator

extension Configuration {
    /// The control plane's part.
    var coordinatorOptions: CoordinatorOptions {
        var options = CoordinatorOptions(migration: migration.name, instances: tableInstances)
        options.silenceLimit = coordinator.silence
        options.acknowledgementTimeout = coordinator.acknowledgeTimeout
        options.soak = coordinator.soakTime
        options.verificationPasses = coordinator.verifyPasses
        options.pinsByAddress = affinity.method == .ipHash
        options.instanceSource = InstanceWatch.source(self)
        return options
    }
}
