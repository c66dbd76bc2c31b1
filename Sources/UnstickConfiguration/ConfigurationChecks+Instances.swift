/// Instances that are found by name, and their weights.
extension ConfigurationChecks {
    func checkDiscoveries(_ drafts: [InstanceDraft], _ log: inout ProblemLog) -> [Configuration.Discovery] {
        drafts.enumerated().compactMap { index, draft in
            let path = "instances[\(index)]"
            guard let host = draft.discover else {
                if draft.port != nil, !log.isRefused("\(path).discover") {
                    log.report("\(path).port", value: nil, "has no meaning without discover; the port of url counts")
                }
                return nil
            }
            if draft.endpoint != nil {
                log.report("\(path).url", value: nil, "has no meaning beside discover, which finds the addresses")
            }
            guard let port = draft.port, let name = draft.name else { return nil }
            guard name.utf8.count <= 48 else {
                log.report(
                    "\(path).name", value: name,
                    "'\(name)' is too long for a name that addresses are added to; expected up to 48 bytes")
                return nil
            }
            return Configuration.Discovery(host: host, port: port, name: name, weight: draft.weight)
        }
    }

    func checkWeights(_ configuration: Configuration, _ log: inout ProblemLog) {
        let weights = configuration.instances.map(\.weight) + configuration.discoveries.map(\.weight)
        guard !weights.isEmpty, weights.allSatisfy({ $0 == 0 }), !log.isRefused("instances") else { return }
        log.report("instances", value: "0", "have weight 0 all together: nobody could begin a session")
    }
}
