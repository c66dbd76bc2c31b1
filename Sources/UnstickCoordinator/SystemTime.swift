import Foundation
import UnstickCore

enum SystemTime {
    static func now() -> UnixMilliseconds { UnixMilliseconds(Int64(Date().timeIntervalSince1970 * 1000)) }
}

/// Ends the process as a power cut would: nothing is flushed, no handler runs.
enum SuddenDeath {
    static func kill() {
        Foundation.kill(getpid(), SIGKILL)
    }
}

enum TimeText {
    /// RFC 3339, whole seconds, UTC.
    static func utc(_ time: UnixMilliseconds) -> String {
        Date(timeIntervalSince1970: Double(time.rawValue) / 1000).formatted(.iso8601)
    }
}
