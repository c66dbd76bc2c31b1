import NIOCore

/// ``ProxyOptions/Timeouts`` as requests use them: converted once, because every request sets several.
struct Waits {
    let idle: TimeAmount
    let clientHead: TimeAmount
    let clientBody: TimeAmount
    let response: TimeAmount
    let stream: TimeAmount
    let store: TimeAmount
    let total: TimeAmount?

    init(_ timeouts: ProxyOptions.Timeouts) {
        idle = TimeAmount(timeouts.idle)
        clientHead = TimeAmount(timeouts.clientHead)
        clientBody = TimeAmount(timeouts.clientBody)
        response = TimeAmount(timeouts.response)
        stream = TimeAmount(timeouts.stream)
        store = TimeAmount(timeouts.store)
        total = timeouts.total.map { TimeAmount($0) }
    }
}
