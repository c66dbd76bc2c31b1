#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Tells one content of a file from the next without reading it: what `stat` says through symbolic links, so that the
/// exchange of a link's target, as in Kubernetes secrets, is seen as well.
struct FileStamp: Hashable, Sendable {
    var inode: UInt64
    var bytes: Int64
    var modifiedSeconds: Int64
    var modifiedNanoseconds: Int64

    /// nil when there is no such file or it cannot be looked at.
    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        inode = UInt64(status.st_ino)
        bytes = Int64(status.st_size)
        #if canImport(Darwin)
        modifiedSeconds = Int64(status.st_mtimespec.tv_sec)
        modifiedNanoseconds = Int64(status.st_mtimespec.tv_nsec)
        #else
        modifiedSeconds = Int64(status.st_mtim.tv_sec)
        modifiedNanoseconds = Int64(status.st_mtim.tv_nsec)
        #endif
    }
}

/// A small file, read whole.
enum ObservedFile {
    /// Chains and bundles of authorities are some hundred KiB at most.
    static let bytesLimit = 4 << 20

    /// The bytes, and whether every user of the machine can read them.
    static func read(_ path: String) throws(TLSFileError) -> (bytes: [UInt8], isOpenToAll: Bool) {
        // Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw TLSFileError(path, "cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw TLSFileError(path, "is not a regular file")
        }
        guard status.st_size <= bytesLimit else {
            throw TLSFileError(path, "holds \(status.st_size) bytes, more than \(bytesLimit)")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count <= bytesLimit {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw TLSFileError(path, "cannot be read: \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return (bytes, status.st_mode & S_IROTH != 0)
    }
}

/// `read(2)`, which a static function of the same name would hide.
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}

/// What is wrong with a file of certificates or keys. Never quotes its content.
public struct TLSFileError: Error, Hashable, Sendable, CustomStringConvertible {
    public var path: String
    /// Reads as the end of "'PATH' …".
    public var reason: String

    init(_ path: String, _ reason: String) {
        self.path = path
        self.reason = reason
    }

    public var description: String { "'\(path)' \(reason)" }
}
