/// Questions about a request target.
public enum RequestTarget {
    /// Whether the target lies at or under `/.well-known/unstick`, in any disguise that a server might undo.
    public static func isReservedPath(_ target: UnsafeRawBufferPointer) -> Bool { fatalError() }

    /// The value of `;parameter=VALUE` in the path; up to the next `/`, `?`, `;` or `#`. The name is compared
    /// byte by byte; the first wins.
    public static func sessionID(
        in target: ByteSlice,
        of bytes: UnsafeRawBufferPointer,
        parameter: CookieName
    ) -> ByteSlice? { fatalError() }
}
