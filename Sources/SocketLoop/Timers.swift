import NIOCore

/// A task for later. Cancelling empties it; the heap forgets it when its time comes, or earlier when there are many.
final class Timer {
    let deadline: NIODeadline
    let sequence: UInt64
    private(set) var task: (() -> Void)?
    private let discarded: () -> Void

    init(deadline: NIODeadline, sequence: UInt64, task: @escaping () -> Void, discarded: @escaping () -> Void) {
        self.deadline = deadline
        self.sequence = sequence
        self.task = task
        self.discarded = discarded
    }

    func run() {
        guard let task else { return }
        self.task = nil
        task()
    }

    func cancel() { task = nil }

    /// The loop has ended before the time came.
    func discard() {
        guard task != nil else { return }
        task = nil
        discarded()
    }

    func precedes(_ other: Timer) -> Bool {
        deadline == other.deadline ? sequence < other.sequence : deadline < other.deadline
    }
}

/// A binary heap of timers, the earliest first.
struct TimerHeap {
    private var heap: [Timer] = []
    private var cancelled = 0

    var first: Timer? { heap.first }
    var count: Int { heap.count }

    mutating func insert(_ timer: Timer) {
        heap.append(timer)
        siftUp(heap.count - 1)
    }

    mutating func removeFirst() -> Timer? {
        guard let first = heap.first else { return nil }
        if first.task == nil { cancelled = max(0, cancelled - 1) }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        return first
    }

    mutating func noteCancellation() {
        cancelled += 1
        guard cancelled > 64, cancelled > heap.count / 2 else { return }
        cancelled = 0
        heap.removeAll { $0.task == nil }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
    }

    mutating func removeAll() -> [Timer] {
        defer {
            heap = []
            cancelled = 0
        }
        return heap
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard heap[index].precedes(heap[parent]) else { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].precedes(heap[least]) {
                least = child
            }
            guard least != index else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
