#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// What a configuration asks of the machine it is read on. A parameter, so that tests choose it.
public struct ConfigurationHost: Sendable {
    /// The host's name; nil when it has none.
    public var name: String?
    /// Number of cores, at least 1.
    public var cores: Int
    /// Reads a whole file of up to ``bytesLimit`` bytes, given its path.
    public var read: @Sendable (String) throws(FileRefusal) -> FileContent

    public init(name: String?, cores: Int, read: @escaping @Sendable (String) throws(FileRefusal) -> FileContent) {
        self.name = name
        self.cores = cores
        self.read = read
    }

    /// Configurations and secrets are small; a larger file is a mistake.
    public static let bytesLimit = 1 << 20

    public struct FileContent: Sendable, Equatable {
        public var bytes: [UInt8]
        /// Permission bits, `0o600` and the like.
        public var mode: UInt32

        public init(bytes: [UInt8], mode: UInt32) {
            self.bytes = bytes
            self.mode = mode
        }
    }

    /// Why a file could not be read; reads as the end of "'PATH' cannot be read: …".
    public struct FileRefusal: Error, Sendable, Equatable {
        public var reason: String
        public init(reason: String) { self.reason = reason }
    }
}

extension ConfigurationHost {
    /// This machine.
    public static var local: ConfigurationHost {
        ConfigurationHost(name: localName(), cores: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), read: readLocal)
    }

    private static func localName() -> String? {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return nil }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.isEmpty ? nil : name
    }

    @Sendable private static func readLocal(_ path: String) throws(FileRefusal) -> FileContent {
        // Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileRefusal(reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        // The mode is asked of the open descriptor: a path could be exchanged in between.
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileRefusal(reason: String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw FileRefusal(reason: "not a regular file") }
        guard status.st_size <= bytesLimit else {
            throw FileRefusal(reason: "\(status.st_size) bytes, more than \(bytesLimit)")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileRefusal(reason: String(cString: strerror(errno)))
            }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= bytesLimit else { throw FileRefusal(reason: "more than \(bytesLimit) bytes") }
        }
        return FileContent(bytes: bytes, mode: UInt32(status.st_mode) & 0o7777)
    }
}

/// `read(2)`; a free function because ``ConfigurationHost/read`` has the same name.
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
