import UnstickConfiguration
import UnstickCoordinator
import UnstickProxy

extension Serving.Part {
    static func proxy(_ proxy: Proxy, _ configuration: Configuration) -> Serving.Part {
        Serving.Part(
            name: "listen", address: "\(configuration.listen)",
            run: { ready in try await proxy.run { _ in ready() } },
            stop: { proxy.stop() })
    }

    static func coordinator(_ coordinator: Coordinator) -> Serving.Part {
        Serving.Part(
            name: "coordinator", address: nil,
            run: { ready in
                ready()
                try await coordinator.run()
            })
    }

    static func admin(_ api: CoordinatorAPI, _ configuration: Configuration) -> Serving.Part {
        Serving.Part(
            name: "admin", address: "\(configuration.admin)",
            run: { ready in try await api.run { _ in ready() } })
    }
}
