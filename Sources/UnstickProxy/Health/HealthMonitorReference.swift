import NIOCore
import UnstickCore

/// The health checks, from other threads.
struct HealthMonitorReference: Sendable {
    let monitor: NIOLoopBound<HealthMonitor>

    func watch(_ instances: [RoutingTable.Instance]) {
        let monitor = monitor
        monitor.eventLoop.execute { monitor.value.watch(instances) }
    }

    func stop() {
        let monitor = monitor
        monitor.eventLoop.execute { monitor.value.stop() }
    }
}
