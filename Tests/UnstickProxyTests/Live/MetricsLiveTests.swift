import BridgeContract
import MemorySessionStore
import NIOCore
import SessionStore
import Synchronization
import Testing
import UnstickCore

@testable import UnstickProxy

@Suite("Metrics of real traffic")
struct MetricsLiveTests {
    static let get = "GET /value HTTP/1.1\r\nHost: a\r\n\r\n"
    static let post = "POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    static let reserved = "GET \(BridgeHeader.endpointPrefix)sessions/x HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test("requests, bytes, durations, own answers and connections are counted exactly")
    func counts() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 1) { fixture in
            let chunked =
                "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;e=1\r\nabcd\r\n0\r\nT: 1\r\n\r\n"
            let sent = [Self.get, Self.get, Self.post, "HEAD /value HTTP/1.1\r\nHost: a\r\n\r\n", chunked, Self.get]
            var read = 0
            let answers = try await fixture.converse(sent) {
                let page = await fixture.metrics()
                #expect(page["client_connections_open"] == 1)
                #expect(page["upstream_connections{instance=\"web-1\",state=\"idle\"}"] == 1)
                #expect(page["upstream_connections{instance=\"web-1\",state=\"busy\"}"] == 0)
            }
            #expect(answers.map(\.status) == [200, 200, 200, 200, 200, 200])
            let refused = [Self.reserved, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"]
            let refusals = try await fixture.converse([refused[0]]) + fixture.converse([refused[1]])
            #expect(refusals.map(\.status) == [404, 400])
            for answer in answers + refusals { read += answer.bytes }

            let page = try await fixture.untilMetrics("the connections' ends") { $0["client_connections_open"] == 0 }
            #expect(
                page.nonzero("requests_total") == [
                    "{instance=\"web-1\",code=\"2xx\",method=\"GET\"}": 3,
                    "{instance=\"web-1\",code=\"2xx\",method=\"HEAD\"}": 1,
                    "{instance=\"web-1\",code=\"2xx\",method=\"POST\"}": 1,
                    "{instance=\"web-1\",code=\"2xx\",method=\"PUT\"}": 1,
                    "{instance=\"-\",code=\"4xx\",method=\"GET\"}": 1,
                    "{instance=\"-\",code=\"4xx\",method=\"other\"}": 1,
                ])
            #expect(page["request_bytes_total"] == Double((sent + refused).reduce(0) { $0 + $1.utf8.count }))
            #expect(page["response_bytes_total"] == Double(read))
            #expect(page.of("web-1", "request_duration_seconds_count") == 6)
            #expect(page.of("-", "request_duration_seconds_count") == 2)
            #expect(page.of("web-1", "upstream_response_duration_seconds_count") == 6)
            #expect(
                page.nonzero("own_answers_total") == [
                    "{reason=\"reserved_path\"}": 1, "{reason=\"bad_request\"}": 1,
                ])
            #expect(page["client_connections_accepted_total"] == 3)
            #expect(page["upstream_connections_opened_total"] == 1)
            #expect(page["requests_in_flight"] == 0)
            #expect(page.nonzero("retries_total").isEmpty && page["rate_limited_total"] == 0)
        }
    }

    @Test("the proxy's 100 Continue, and a 408 for a head that never ends, are counted as well")
    func continueAndTimeout() async throws {
        var timeouts = ProxyOptions.Timeouts()
        timeouts.clientHead = .milliseconds(50)
        try await ProxyFixture.with(phase: .sticky, applications: 1, timeouts: timeouts) { fixture in
            let request =
                "POST /increment HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n"
                + "Content-Length: 3\r\n\r\n"
            // Two parts in one conversation: the interim answer ends the first.
            let channelAnswer = try await fixture.converse([request, "abc"])
            #expect(channelAnswer.map(\.status) == [100, 200])
            let cut = "GET / HTTP/1.1\r\nHo"
            let late = try await fixture.converse([cut])
            #expect(late.map(\.status) == [408])
            let page = await fixture.metrics()
            #expect(page["request_bytes_total"] == Double(request.utf8.count + 3 + cut.utf8.count))
            #expect(page["response_bytes_total"] == Double((channelAnswer + late).reduce(0) { $0 + $1.bytes }))
            #expect(page.nonzero("own_answers_total") == ["{reason=\"client_timeout\"}": 1])
            #expect(page.requests("-", "4xx", "other") == 1)
            #expect(page["requests_in_flight"] == 0)
        }
    }

    @Test("mirrored changes, hydrations, dirty sessions, the store's health, epoch and phase")
    func sessions() async throws {
        try await ProxyFixture.with(phase: .mirroring, applications: 1) { fixture in
            let browser = Browser(fixture)
            for _ in 1...3 { try await browser.increment() }
            for _ in 1...2 { try await browser.value() }
            var page = await fixture.metrics()
            #expect(page["session_requests_total"] == 4)
            #expect(page["mirrored_total"] == 3)
            #expect(page["mirror_lag_seconds_count"] == 3)
            #expect(page["hydrations_total"] == 0 && page["store_up"] == 1)
            #expect(page["phase"] == 1)
            #expect(page["epoch{state=\"applied\"}"] == 1)

            fixture.applications[0].memory.withLock { $0.sessions = [:] }
            #expect(try await browser.increment().count == 4)
            page = await fixture.metrics()
            #expect(page["hydrations_total"] == 1 && page["hydrate_duration_seconds_count"] == 1)
            #expect(page["mirror_lag_seconds_count"] == 4)

            fixture.faults.fail(FaultyStore.Operation.all, with: StoreError(code: .unavailable, message: "test"))
            try await browser.increment()
            page = await fixture.metrics()
            #expect(page["dirty_sessions"] == 1 && page["store_up"] == 0)
            #expect(page["store_errors_total"].map { $0 >= 1 } == true)
            #expect(page["mirror_failures_total"].map { $0 >= 1 } == true)
            fixture.faults.heal()
            try await fixture.untilMetrics("the repair") { $0["dirty_sessions"] == 0 && $0["store_up"] == 1 }

            let epoch = fixture.link.publish { $0.phase = .externalized }
            await fixture.link.waitForAcknowledgement(of: epoch)
            try await browser.value()
            page = await fixture.metrics()
            #expect(page["phase"] == 2 && page["epoch{state=\"acknowledged\"}"] == 2)
            #expect(page["store_read_duration_seconds_count"] == 1)
        }
    }

    @Test("a write that waits for the store is the mirror lag and in the queue, and a client that leaves is counted")
    func lagAndLeavers() async throws {
        try await ProxyFixture.with(phase: .mirroring, applications: 1) { fixture in
            fixture.faults.hold([.save])
            try await fixture.sendAndHangUp(Self.post) {
                await fixture.faults.untilHeld(1)
                let page = await fixture.metrics()
                #expect(page["mirror_queue"] == 1 && page["requests_in_flight"] == 1)
                #expect(page.of("web-1", "upstream_requests_in_flight") == 1)
            }
            await fixture.untilOrphaned()
            try await Task.sleep(for: .milliseconds(60))
            fixture.faults.release()
            let page = try await fixture.untilMetrics("the end") { $0["requests_in_flight"] == 0 }
            #expect(page["clients_gone_total"] == 1)
            // Nobody was sent a status.
            #expect(page.requests("web-1", "none", "POST") == 1)
            #expect(page["response_bytes_total"] == 0)
            #expect(page["mirror_queue"] == 0 && page["mirror_lag_seconds_count"] == 1)
            #expect(page["mirror_lag_seconds_sum"].map { $0 >= 0.05 && $0 < 10 } == true)
            #expect(page.of("web-1", "upstream_requests_in_flight") == 0)
        }
    }

    @Test("counters of connections to instances do not fall when an instance leaves")
    func monotone() async throws {
        try await ProxyFixture.with(phase: .sticky, applications: 2) { fixture in
            for _ in 1...4 { try await Browser(fixture).value() }
            let before = await fixture.metrics()["upstream_connections_opened_total"]
            await fixture.use([fixture.link.table.instances[0]])
            let after = await fixture.metrics()["upstream_connections_opened_total"]
            #expect(before == 2 && after == 2)
        }
    }
}
