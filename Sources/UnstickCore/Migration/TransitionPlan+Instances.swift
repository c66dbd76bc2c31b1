/// Instances and weights changed at run time.
extension TransitionPlan {
    /// Longer tables are refused: a proxy keeps connections and health checks for each instance.
    public static let instancesMax = 1000

    /// Two epochs. In the first every proxy learns the instance's name while nobody sends it anything new: a session that
    /// began there through one proxy would otherwise be nobody's at another, and in `mirroring` both would then trust
    /// what they have. In between it is `draining`, whose own sessions (there are none) follow the store in every phase.
    ///
    /// It is taken to start empty, so that there is nothing to verify. One that was in the table before may still hold
    /// sessions, and cookies that name it are valid again: what is stale there is evicted before its memory counts, as
    /// `undrain` does. So its bridge has to answer; in `sticky`, where there may be none, health checks keep requests away
    /// until it does.
    static func add(_ instance: RoutingTable.Instance, _ table: RoutingTable) throws(PlanError) -> TransitionPlan {
        try checkName(instance.name)
        try checkURL(instance.url)
        try checkWeight(instance.weight)
        if let known = table.instances.first(where: { $0.name == instance.name }) {
            guard known.url == instance.url, known.weight == instance.weight, known.state == .active else {
                throw .invalid(
                    "there is an instance '\(known.name)' at \(known.url), \(known.state.rawValue), weight "
                        + "\(known.weight); another one needs another name")
            }
            return already
        }
        if let other = table.instances.first(where: { $0.url == instance.url }) {
            throw .invalid("\(instance.url) is the address of \(other.name)")
        }
        guard table.instances.count < instancesMax else {
            throw .invalid("there are \(instancesMax) instances, and no table holds more")
        }
        let away: PlannedStep.Recovery = .undo([.publish(.removing(instance.name))])
        let evict = PlannedStep(.evict(instance: instance.name, staleOnly: true), away)
        return TransitionPlan(
            steps: [
                PlannedStep(.check(.addInstance(instance.name)), .refuse),
                PlannedStep(.publish(.adding(instance)), .refuse),
                PlannedStep(.awaitAcknowledgements, away),
            ] + (table.phase.mirrors ? [evict] : []) + [
                PlannedStep(.publish(.instance(instance.name, .active)), away),
                // Sessions may have begun there: only a drain may take it away again.
                PlannedStep(.awaitAcknowledgements, .undo([.publish(.instance(instance.name, .draining))])),
            ])
    }

    /// Only what holds nothing leaves: a drained instance, or one that is dead and whose sessions are re-homed. With
    /// `force`, in `sticky`, where no store keeps what it holds, its sessions are lost and counted.
    static func remove(_ name: String, _ force: Bool, _ table: RoutingTable) throws(PlanError) -> TransitionPlan {
        let instance = try find(name, table)
        guard table.instances.count > 1 else { throw .misplaced("\(name) is the last instance") }
        let leave = [
            PlannedStep(.publish(.removing(name)), .refuse),
            PlannedStep(.awaitAcknowledgements, .stand),
        ]
        switch instance.state {
        case .drained, .fenced:
            let counts = force && !table.phase.mirrors ? [PlannedStep(.countLoss(instance: name), .refuse)] : []
            return TransitionPlan(
                steps: [PlannedStep(.check(.removeInstance(name, force: force)), .refuse)] + counts + leave)
        case .active, .draining, .fencing:
            guard force, !table.phase.mirrors else {
                throw .misplaced(
                    "\(name) is \(instance.state.rawValue); `unstick drain \(name)` first"
                        + (table.phase.mirrors ? "" : ", or --force, which gives up the sessions it holds"))
            }
            let back: PlannedStep.Recovery = .undo([.publish(.instance(name, instance.state))])
            return TransitionPlan(
                steps: [
                    PlannedStep(.check(.removeInstance(name, force: true)), .refuse),
                    PlannedStep(.countLoss(instance: name), .refuse),
                    PlannedStep(.publish(.instance(name, .drained)), .refuse),
                    PlannedStep(.awaitAcknowledgements, back),
                    PlannedStep(.publish(.removing(name)), back),
                    PlannedStep(.awaitAcknowledgements, .stand),
                ])
        }
    }

    /// One epoch: no session moves, only where new ones begin.
    static func setWeight(_ name: String, _ weight: Int, _ table: RoutingTable) throws(PlanError) -> TransitionPlan {
        let instance = try find(name, table)
        try checkWeight(weight)
        if instance.weight == weight { return already }
        return TransitionPlan(steps: [
            PlannedStep(.check(.setWeight(instance: name, weight: weight)), .refuse),
            PlannedStep(.publish(.weight(name, weight)), .refuse),
            PlannedStep(.awaitAcknowledgements, .undo([.publish(.weight(name, instance.weight))])),
        ])
    }

    // MARK: What instances may be called

    /// Names stand in cookies, metrics, logs and on command lines.
    private static func checkName(_ name: String) throws(PlanError) {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            default: false
            }
        }
        guard (1...64).contains(name.utf8.count), isAlphanumeric(name.utf8.first ?? 0),
            name.utf8.allSatisfy({ isAlphanumeric($0) || "._-".utf8.contains($0) })
        else {
            throw .invalid(
                "'\(name.prefix(80))' is not a name; expected 1 to 64 letters, digits, '.', '_' and '-', beginning with "
                    + "a letter or digit")
        }
    }

    private static func checkURL(_ url: String) throws(PlanError) {
        let expected = "expected http://HOST:PORT or https://HOST:PORT"
        guard let scheme = ["http://", "https://"].first(where: { url.hasPrefix($0) }), url.utf8.count <= 300 else {
            throw .invalid("'\(url.prefix(80))' is not an instance's URL; \(expected)")
        }
        let authority = url.dropFirst(scheme.count)
        guard let colon = authority.lastIndex(of: ":"), let port = Int(authority[authority.index(after: colon)...]),
            (1...65535).contains(port)
        else { throw .invalid("'\(url.prefix(80))' has no port; \(expected)") }
        let host = authority[..<colon]
        let isBracketed = host.first == "[" && host.last == "]" && host.count > 2
        let allowed = isBracketed ? ":.%-[]" : ".-_"
        guard !host.isEmpty,
            host.utf8.allSatisfy({ byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                default: allowed.utf8.contains(byte)
                }
            })
        else { throw .invalid("'\(url.prefix(80))' has no host that can be used; \(expected)") }
    }

    private static func checkWeight(_ weight: Int) throws(PlanError) {
        guard (0...RoutingTable.Instance.weightMax).contains(weight) else {
            throw .invalid("a weight is 0 to \(RoutingTable.Instance.weightMax), not \(weight)")
        }
    }
}
