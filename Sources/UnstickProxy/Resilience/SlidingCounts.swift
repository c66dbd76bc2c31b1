import NIOCore

/// Events of the last while, and how many of them were marked. The window moves on in tenths.
struct SlidingCounts {
    private struct Slot {
        var events = 0
        var marked = 0
    }

    private static let slotCount = 10
    private var slots = InlineArray<10, Slot>(repeating: Slot())
    private let slotNanoseconds: UInt64
    /// Number of the newest slot, counted from the clock's zero.
    private var newest: UInt64 = 0
    /// Within the window as of the last `advance`.
    private(set) var events = 0
    /// Not above ``events`` unless marks are added alone.
    private(set) var marked = 0

    /// - Parameter window: 10 ns or more.
    init(window: TimeAmount) {
        slotNanoseconds = max(1, UInt64(max(0, window.nanoseconds)) / UInt64(SlidingCounts.slotCount))
    }

    /// Forgets what has left the window. A clock that goes back changes nothing.
    mutating func advance(to now: NIODeadline) {
        let slot = now.uptimeNanoseconds / slotNanoseconds
        guard slot > newest else { return }
        if slot - newest >= UInt64(SlidingCounts.slotCount) {
            removeAll()
        } else {
            for passed in (newest + 1)...slot {
                let index = Int(passed % UInt64(SlidingCounts.slotCount))
                events -= slots[index].events
                marked -= slots[index].marked
                slots[index] = Slot()
            }
        }
        newest = slot
    }

    mutating func add(events: Int, marked: Int, now: NIODeadline) {
        advance(to: now)
        let index = Int(newest % UInt64(SlidingCounts.slotCount))
        slots[index].events += events
        slots[index].marked += marked
        self.events += events
        self.marked += marked
    }

    mutating func removeAll() {
        slots = InlineArray<10, Slot>(repeating: Slot())
        events = 0
        marked = 0
    }
}
