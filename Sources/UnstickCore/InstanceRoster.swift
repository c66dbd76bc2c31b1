/// What configuration and discovery want the table's instances to be, against what operators made of them; pure.
///
/// Only *changes* of what is wanted count: an instance that an operator has removed does not come back because it still
/// stands in a file, and a weight that an operator has set stays until the file's weight changes. Each change becomes an
/// ordinary operation with all its gates, one after the other. What vanishes is drained, never dropped.
public struct InstanceRoster: Sendable, Equatable, Codable {
    public enum Change: Sendable, Equatable, Codable {
        case join(RoutingTable.Instance)
        case leave(String)
        case weight(String, Int)

        public var name: String {
            switch self {
            case .join(let instance): instance.name
            case .leave(let name), .weight(let name, _): name
            }
        }
    }

    /// As last wanted; states have no meaning here.
    public private(set) var followed: [RoutingTable.Instance]
    /// Changes not carried out yet, oldest first.
    public private(set) var pending: [Change] = []

    public init(followed: [RoutingTable.Instance]) { self.followed = Self.withoutStates(followed) }

    private static func withoutStates(_ instances: [RoutingTable.Instance]) -> [RoutingTable.Instance] {
        instances.map { RoutingTable.Instance(name: $0.name, url: $0.url, weight: $0.weight) }
    }

    /// Takes note of what is wanted now. An empty list changes nothing: it is an answer that is missing, not a wish.
    /// - Returns: whether anything is wanted that was not before.
    @discardableResult
    public mutating func follow(_ wanted: [RoutingTable.Instance]) -> Bool {
        guard !wanted.isEmpty else { return false }
        let wanted = Self.withoutStates(wanted)
        let count = pending.count
        for old in followed {
            guard let new = wanted.first(where: { $0.name == old.name }) else {
                note(.leave(old.name))
                continue
            }
            if new.url != old.url {
                // Another address is another process with another memory: the old one is drained first.
                note(.leave(old.name))
                pending.append(.join(new))
            } else if new.weight != old.weight {
                note(.weight(old.name, new.weight))
            }
        }
        for new in wanted where !followed.contains(where: { $0.name == new.name }) { note(.join(new)) }
        let isNews = pending.count != count || wanted != followed
        followed = wanted
        return isNews
    }

    /// A newer wish replaces what is still waiting for the same name.
    private mutating func note(_ change: Change) {
        pending.removeAll { $0.name == change.name }
        pending.append(change)
    }

    /// What to ask for next; changes that the table already shows are dropped.
    public mutating func next(_ table: RoutingTable) -> Transition? {
        while let change = pending.first {
            if let transition = Self.transition(for: change, table) { return transition }
            pending.removeFirst()
        }
        return nil
    }

    /// The first change cannot be carried out now: the others go first.
    public mutating func postpone() {
        guard pending.count > 1 else { return }
        let first = pending.removeFirst()
        // Not behind a later wish for the same name, which would then be undone by the older one.
        guard !pending.contains(where: { $0.name == first.name }) else {
            pending.insert(first, at: 0)
            return
        }
        pending.append(first)
    }

    /// For one attempt to drain. At its end the instance stays draining and is asked again later; in between operators
    /// can ask for something else, because one operation runs at a time.
    public static let drainSeconds = 10

    private static func transition(for change: Change, _ table: RoutingTable) -> Transition? {
        let present = table.instances.first { $0.name == change.name }
        switch change {
        case .join(let wanted):
            guard let present else {
                return .addInstance(name: wanted.name, url: wanted.url, weight: wanted.weight)
            }
            switch present.state {
            case .drained, .draining: return present.url == wanted.url ? .undrain(instance: present.name) : nil
            case .active, .fencing, .fenced: break
            }
            return present.weight == wanted.weight
                ? nil : .setWeight(instance: present.name, weight: wanted.weight)
        case .weight(let name, let weight):
            return present.map { $0.weight == weight } ?? true ? nil : .setWeight(instance: name, weight: weight)
        case .leave(let name):
            guard let present else { return nil }
            switch present.state {
            case .drained, .fenced: return .removeInstance(name: name, force: false)
            case .active, .draining:
                return .drain(instance: name, deadlineSeconds: drainSeconds, force: false)
            // Decided by reconciliation within seconds.
            case .fencing: return nil
            }
        }
    }
}

/// One discovered name's addresses over time; pure.
public struct DiscoveryHistory: Sendable, Equatable {
    /// Addresses that count as present, sorted, each with the number of answers in a row without it.
    public private(set) var absences: [String: Int] = [:]

    public init() {}

    /// How many answers in a row must lack an address before it counts as gone: answers of large names are cut, and
    /// rotate.
    public static let absencesMax = 3

    /// Takes note of an answer. One without addresses, like a failed look-up, changes nothing.
    public mutating func note(_ answer: [String]) {
        guard !answer.isEmpty else { return }
        for address in answer { absences[address] = 0 }
        for address in absences.keys where !answer.contains(address) {
            absences[address]! += 1
            if absences[address]! >= Self.absencesMax { absences[address] = nil }
        }
    }

    public var addresses: [String] { absences.keys.sorted() }
}
