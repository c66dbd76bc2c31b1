package import ControlAPI
package import UnstickCore

/// `unstick sessions explain`; shows the keyed hash, never the id.
package enum SessionLines {
    package static func lines(_ session: SessionExplanation, now: UnixMilliseconds, width: Int) -> [ScreenLine] {
        var lines = [ScreenLine("Session \(session.hash)", .strong)]
        lines += labelled("verdict", session.verdict, width)
        if let store = session.store {
            let kind =
                store.isTombstone ? "tombstone" : "version \(store.version), \(TerminalText.count(store.size)) bytes"
            let left = store.expiresAt.rawValue - now.rawValue
            let expiry = left > 0 ? "expires in \(TimeSpan.words(milliseconds: left))" : "expired"
            lines += labelled("store", "\(kind), generation \(store.generation), home \(store.home), \(expiry)", width)
        } else {
            lines += labelled("store", "not there", width)
        }
        for copy in session.memory {
            let what = copy.problem ?? copy.version.map { "version \($0)" } ?? "not in memory"
            lines += labelled(copy.instance, what, width)
        }
        lines += labelled("home", session.effectiveHome ?? "none", width)
        let bucket = "bucket \(session.rampBucket) of \(RoutingTable.buckets)"
        lines += labelled("ramp", bucket + (session.inRamp ? ", stateless" : ", by affinity"), width)
        return lines
    }

    private static func labelled(_ label: String, _ text: String, _ width: Int) -> [ScreenLine] {
        let space = String(repeating: " ", count: max(1, 12 - label.count))
        let hanging = String(repeating: " ", count: 14)
        return TerminalText.wrap(text, width: max(20, width - 14)).enumerated().map { index, part in
            index == 0 ? ScreenLine("  " + label + space, .faint).appending(part) : ScreenLine(hanging + part)
        }
    }
}
