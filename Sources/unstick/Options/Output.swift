import ControlAPI
import Foundation
import UnstickTerminal

/// Standard output for answers, standard error for everything else.
enum Output {
    static func line(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    static func errorLine(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

    static func lines(_ lines: [ScreenLine]) {
        let colour = Terminal.hasColour(STDOUT_FILENO)
        write(lines.map { $0.rendered(colour: colour) + "\n" }.joined(), to: STDOUT_FILENO)
    }

    static func errorLines(_ lines: [ScreenLine]) {
        let colour = Terminal.hasColour(STDERR_FILENO)
        write(lines.map { $0.rendered(colour: colour) + "\n" }.joined(), to: STDERR_FILENO)
    }

    /// One line.
    static func json(_ value: some Encodable) {
        guard let text = try? ControlJSON.text(value) else { return }
        line(text)
    }

    /// Unbuffered, because several processes may write to the same log. Ends the process when nobody reads any more, as
    /// SIGPIPE would where it is not ignored.
    static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if errno == EAGAIN {
                    var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&ready, 1, 1000)
                } else if errno != EINTR {
                    if descriptor == STDOUT_FILENO { exit(ExitStatus.failed.rawValue) }
                    return
                }
            }
        }
    }
}

/// What the terminal is and can do.
enum Terminal {
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// `NO_COLOR` (no-color.org) counts when it is not empty.
    static func hasColour(_ descriptor: Int32) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        return isTerminal(descriptor) && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    /// Columns and rows; 80 by 24 where there is no terminal.
    static func size(_ descriptor: Int32) -> (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Asks on standard error; nil at the end of the input.
    static func ask(_ question: String) -> String? {
        Output.write(question, to: STDERR_FILENO)
        return readLine(strippingNewline: true)
    }
}
