public import ControlAPI
import Glibc

/// What the process uses, by the names that every Prometheus client library exports (`process_…`).
public struct ProcessUsage: Sendable, Equatable {
    public var cpuSeconds: Double
    public var residentBytes: Int
    public var virtualBytes: Int
    /// Nil when `/proc` does not show them.
    public var openDescriptors: Int?
    public var descriptorLimit: Int?
    /// Seconds since 1970.
    public var startTime: Double?
    public var threads: Int

    /// Reads `/proc/self`; nil where there is none.
    public static func current() -> ProcessUsage? {
        guard let stat = contents(of: "/proc/self/stat") else { return nil }
        return ProcessUsage(
            stat: stat, systemStat: contents(of: "/proc/stat") ?? "", ticksPerSecond: sysconf(Int32(_SC_CLK_TCK)),
            pageBytes: sysconf(Int32(_SC_PAGESIZE)), openDescriptors: descriptorCount(), descriptorLimit: limit())
    }

    /// - Parameters:
    ///   - stat: `/proc/PID/stat` (proc(5)): fields behind the last `)`, because the name may hold anything.
    ///   - systemStat: `/proc/stat`, for the time of the machine's start.
    init?(
        stat: String, systemStat: String, ticksPerSecond: Int, pageBytes: Int, openDescriptors: Int?,
        descriptorLimit: Int?
    ) {
        guard let parenthesis = stat.lastIndex(of: ")"), ticksPerSecond > 0 else { return nil }
        // The first of these is field 3 of the manual.
        let fields = stat[stat.index(after: parenthesis)...].split(whereSeparator: { $0 == " " || $0 == "\n" })
        func field(_ number: Int) -> Int? { fields.count > number - 3 ? Int(fields[number - 3]) : nil }
        guard let user = field(14), let system = field(15), let threads = field(20), let start = field(22),
            let virtual = field(23), let pages = field(24)
        else { return nil }
        cpuSeconds = Double(user + system) / Double(ticksPerSecond)
        virtualBytes = virtual
        residentBytes = pages * pageBytes
        self.threads = threads
        self.openDescriptors = openDescriptors
        self.descriptorLimit = descriptorLimit
        let boot = systemStat.split(separator: "\n").first { $0.hasPrefix("btime ") }
        startTime = boot.flatMap { Int($0.dropFirst(6)) }.map {
            Double($0) + Double(start) / Double(ticksPerSecond)
        }
    }

    /// Appends the families.
    public func write(to text: inout PrometheusText) {
        text.family(
            "process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds."
        ) { $0.sample([:], cpuSeconds) }
        text.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", residentBytes)
        text.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", virtualBytes)
        text.gauge("process_threads", "Number of OS threads in the process.", threads)
        if let openDescriptors {
            text.gauge("process_open_fds", "Number of open file descriptors.", openDescriptors)
        }
        if let descriptorLimit {
            text.gauge("process_max_fds", "Maximum number of open file descriptors.", descriptorLimit)
        }
        if let startTime {
            text.gauge(
                "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", startTime)
        }
    }

    private static func contents(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        // `/proc/stat` has a line for each core before the one that is wanted.
        while bytes.count < 1 << 20 {
            let piece = [UInt8](unsafeUninitializedCapacity: 16 * 1024) { buffer, count in
                count = max(0, read(descriptor, buffer.baseAddress, buffer.count))
            }
            if piece.isEmpty { break }
            bytes += piece
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func descriptorCount() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // `.`, `..` and the directory's own.
        return max(0, count - 3)
    }

    private static func limit() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Int(clamping: limit.rlim_cur)
    }
}
