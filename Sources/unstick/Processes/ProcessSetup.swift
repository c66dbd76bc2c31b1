import Foundation
import Logging

/// What every serving process does before it serves.
enum ProcessSetup {
    static func prepare(_ logger: Logger) {
        // A client that goes away in the middle of a write must not end the process.
        signal(SIGPIPE, SIG_IGN)
        raiseDescriptorLimit(logger)
    }

    /// A connection needs a descriptor on both sides; distributions start processes with 1,024 of them and allow far more.
    private static func raiseDescriptorLimit(_ logger: Logger) {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        guard setrlimit(resource, &limit) == 0 else {
            logger.warning("the limit of file descriptors stays", metadata: ["limit": "\(before)"])
            return
        }
        logger.debug("limit of file descriptors raised", metadata: ["from": "\(before)", "to": "\(limit.rlim_max)"])
    }
}
