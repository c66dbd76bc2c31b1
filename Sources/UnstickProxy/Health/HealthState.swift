/// Rise and fall of one instance's active checks; pure.
struct HealthState {
    let rise: Int
    let fall: Int
    /// Nil until the first `rise` or `fall` checks in a row agree; the very first success counts at once, so that a
    /// start does not wait.
    private(set) var isHealthy: Bool?
    private var streak = 0
    private var lastResult: Bool?

    init(rise: Int, fall: Int) {
        self.rise = max(1, rise)
        self.fall = max(1, fall)
    }

    /// Takes a check's result in; returns whether the verdict changed.
    mutating func record(success: Bool) -> Bool {
        streak = lastResult == success ? streak + 1 : 1
        lastResult = success
        let needed = success ? (isHealthy == nil ? 1 : rise) : fall
        guard streak >= needed, isHealthy != success else { return false }
        isHealthy = success
        return true
    }
}
