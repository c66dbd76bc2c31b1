import ControlAPI
import ControlClient
import Foundation
import Synchronization
import UnixSignals
import UnstickTerminal

/// `unstick status --watch`: a screen that is redrawn every second, or in a pipe a block for each change.
struct StatusWatch: Sendable {
    var client: ControlClient
    var isJSON: Bool

    func run() async throws {
        let isScreen = Terminal.isTerminal(STDOUT_FILENO) && !isJSON
        if isScreen { try await runScreen() } else { try await runBlocks() }
    }

    // MARK: Pipe

    private func runBlocks() async throws {
        var shown = ""
        var isSilent = false
        while true {
            do throws(ControlClientError) {
                let report = try await client.status()
                let screen = StatusScreen(report, width: 80)
                if screen.newsworthy != shown || isSilent {
                    shown = screen.newsworthy
                    if isJSON {
                        Output.json(report)
                    } else {
                        Output.lines([ScreenLine(JournalLines.time(report.time))] + screen.lines + [ScreenLine()])
                    }
                }
                isSilent = false
            } catch {
                guard case .unreachable = error, !shown.isEmpty else { throw CommandFailure(error) }
                if !isSilent { Output.errorLine(error.description) }
                isSilent = true
            }
            try await Task.sleep(for: .seconds(1))
        }
    }

    // MARK: Screen

    /// What is known; drawn again at every tick and change of size.
    private struct Knowledge: Sendable {
        var report: StatusReport?
        /// When the report came, and why there is none since.
        var heardAt = Date()
        var silence: String?
    }

    private final class Board: Sendable {
        private let knowledge = Mutex(Knowledge())

        var current: Knowledge { knowledge.withLock { $0 } }

        func heard(_ report: StatusReport) { knowledge.withLock { $0 = Knowledge(report: report) } }

        func isSilent(_ reason: String) { knowledge.withLock { $0.silence = reason } }
    }

    private func runScreen() async throws {
        let board = Board()
        let screen = FullScreen()
        screen.open()
        defer { screen.close() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                while !Task.isCancelled {
                    do throws(ControlClientError) {
                        board.heard(try await client.status())
                    } catch {
                        // A wrong token or address does not mend itself.
                        guard case .unreachable(_, let reason) = error else { throw CommandFailure(error) }
                        board.isSilent(reason)
                    }
                    screen.draw(Self.lines(board.current, client.address))
                    try await Task.sleep(for: .seconds(1))
                }
            }
            tasks.addTask {
                for await signal in await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup, .sigwinch, .sigcont)
                {
                    switch signal {
                    case .sigwinch, .sigcont:
                        if signal == .sigcont { screen.open() }
                        screen.draw(Self.lines(board.current, client.address))
                    default: return
                    }
                }
            }
            tasks.addTask { await Self.quitKey() }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    private static func lines(_ knowledge: Knowledge, _ address: String) -> [ScreenLine] {
        let (columns, rows) = Terminal.size(STDOUT_FILENO)
        let height = knowledge.silence == nil ? rows : rows - 1
        var lines = knowledge.report.map { StatusScreen($0, width: columns).lines(height: height) } ?? []
        if let silence = knowledge.silence {
            let age = TimeSpan.words(milliseconds: Int64(Date().timeIntervalSince(knowledge.heardAt) * 1000))
            let text =
                knowledge.report == nil
                ? "coordinator \(address) cannot be reached: \(silence)"
                : "OLD DATA: coordinator unreachable for \(age): \(silence)"
            lines.insert(ScreenLine(text, .bad), at: 0)
        } else if lines.isEmpty {
            lines = [ScreenLine("asking \(address) …", .faint)]
        }
        return lines
    }

    /// Returns at `q` or the end of the input; never when standard input is no terminal.
    private static func quitKey() async {
        guard Terminal.isTerminal(STDIN_FILENO) else {
            try? await Task.sleep(for: .seconds(Int64.max / 2))
            return
        }
        while !Task.isCancelled {
            var waiting = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, 0) > 0 {
                var byte: UInt8 = 0
                if read(STDIN_FILENO, &byte, 1) <= 0 || byte == UInt8(ascii: "q") { return }
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }
}

/// The terminal's alternate screen, without echo and cursor; what was there comes back at the end.
final class FullScreen: Sendable {
    private struct Saved {
        var attributes: termios?
        var isOpen = false
    }
    private let saved = Mutex(Saved())

    func open() {
        saved.withLock { saved in
            var attributes = termios()
            if Terminal.isTerminal(STDIN_FILENO), tcgetattr(STDIN_FILENO, &attributes) == 0 {
                if saved.attributes == nil { saved.attributes = attributes }
                attributes.c_lflag &= ~tcflag_t(ECHO | ICANON)
                // Ctrl-Z would leave the shell on this screen; zero, Linux's
                // `_POSIX_VDISABLE`, takes the key away.
                withUnsafeMutableBytes(of: &attributes.c_cc) { $0[Int(VSUSP)] = 0 }
                tcsetattr(STDIN_FILENO, TCSANOW, &attributes)
            }
            saved.isOpen = true
            // xterm: 1049 alternate screen, 25 cursor, 7 automatic wrapping.
            Output.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J", to: STDOUT_FILENO)
        }
    }

    func close() {
        saved.withLock { saved in
            guard saved.isOpen else { return }
            saved.isOpen = false
            Output.write("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l", to: STDOUT_FILENO)
            if var attributes = saved.attributes { tcsetattr(STDIN_FILENO, TCSANOW, &attributes) }
        }
    }

    /// Draws over what is there, line by line, so that nothing flickers.
    func draw(_ lines: [ScreenLine]) {
        let (columns, rows) = Terminal.size(STDOUT_FILENO)
        let colour = Terminal.hasColour(STDOUT_FILENO)
        var visible = lines
        if lines.count > rows, rows > 1 {
            visible = Array(lines.prefix(rows - 1))
            visible.append(ScreenLine("… \(lines.count - rows + 1) more lines; a taller window shows them", .faint))
        }
        var text = "\u{1b}[H"
        for (index, line) in visible.enumerated() {
            text += line.fitted(to: columns).rendered(colour: colour) + "\u{1b}[K"
            if index < visible.count - 1 { text += "\r\n" }
        }
        saved.withLock { saved in
            if saved.isOpen { Output.write(text + "\u{1b}[J", to: STDOUT_FILENO) }
        }
    }
}
