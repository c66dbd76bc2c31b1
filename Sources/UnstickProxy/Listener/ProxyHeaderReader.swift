import HTTPWire
import NIOCore
import SocketLoop

/// Reads the PROXY protocol header with which a connection begins.
final class ProxyHeaderReader: ByteStreamDelegate {
    enum Result {
        /// The bytes behind the header lie in memory that is reused afterwards.
        case header(ProxyProtocolHeader, rest: UnsafeRawBufferPointer)
        case failed(String)
    }

    /// The header's bytes so far; the parser limits them.
    private var kept: [UInt8] = []
    private var completion: ((Result) -> Void)?
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - deadline: for the whole header.
    ///   - completion: called once, on the loop; not after ``cancel()``.
    init(loop: SocketLoop, deadline: NIODeadline, completion: @escaping (Result) -> Void) {
        self.completion = completion
        let bound = NIOLoopBound(self, eventLoop: loop)
        timer = loop.scheduleTask(deadline: deadline) { bound.value.end(.failed("it did not arrive in time")) }
    }

    func cancel() {
        timer?.cancel()
        completion = nil
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard !kept.isEmpty else { return parse(bytes) }
        kept.append(contentsOf: bytes)
        let kept = kept
        kept.withUnsafeBytes { parse($0) }
    }

    private func parse(_ bytes: UnsafeRawBufferPointer) {
        do throws(ProxyProtocolError) {
            if let header = try ProxyProtocolHeader.parse(bytes) {
                end(.header(header, rest: UnsafeRawBufferPointer(rebasing: bytes[header.length...])))
            } else if kept.count < bytes.count {
                kept = Array(bytes)
            }
        } catch {
            end(.failed("\(error)"))
        }
    }

    func streamDidClose() { end(.failed("the connection was closed before its end")) }

    func streamWritabilityChanged(isWritable: Bool) {}

    private func end(_ result: Result) {
        timer?.cancel()
        guard let completion else { return }
        self.completion = nil
        completion(result)
    }
}
