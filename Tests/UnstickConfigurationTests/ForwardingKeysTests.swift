import Testing
import UnstickConfiguration

@Suite("Forwarding keys")
struct ForwardingKeysTests {
    @Test("the defaults believe nobody and name the proxy")
    func defaults() throws {
        let configuration = try parse(oneInstance)
        #expect(configuration.listenProxyProtocol == .off)
        #expect(configuration.listenProxyProtocolFrom.isEmpty)
        #expect(configuration.forwarding.via == "unstick")
        #expect(!configuration.forwarding.viaInResponses)
        #expect(configuration.forwarding.xForwarded)
        #expect(!configuration.forwarding.xRealIP)
        #expect(!configuration.forwarding.forwarded)
        #expect(configuration.forwarding.clientSource == .xForwardedFor)
    }

    @Test("every key can be given")
    func given() throws {
        let configuration = try parse(
            oneInstance + """
                listen-proxy-protocol: required
                listen-proxy-protocol-from: [10.0.0.0/8, "fd00::/8"]
                trusted-proxies: [192.0.2.0/24]
                forwarding: { via: edge-1, via-in-responses: true, x-forwarded: false, x-real-ip: true, forwarded: true,
                  client-address: forwarded }
                """)
        #expect(configuration.listenProxyProtocol == .required)
        #expect(configuration.listenProxyProtocolFrom.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(configuration.trustedProxies.map(\.description) == ["192.0.2.0/24"])
        #expect(configuration.forwarding.via == "edge-1")
        #expect(configuration.forwarding.viaInResponses)
        #expect(!configuration.forwarding.xForwarded)
        #expect(configuration.forwarding.xRealIP)
        #expect(configuration.forwarding.forwarded)
        #expect(configuration.forwarding.clientSource == .forwarded)
        #expect(try parse(oneInstance + "forwarding: { via: null }").forwarding.via == nil)
    }

    @Test(
        "bad values are named with what was expected",
        arguments: [
            ("listen-proxy-protocol: v2", "listen-proxy-protocol: 'v2'"),
            ("listen-proxy-protocol-from: [10.0.0.0/8]", "listen-proxy-protocol-from: has no meaning"),
            ("forwarding: { via: \"a b\" }", "forwarding.via: 'a b' is not such a name"),
            ("forwarding: { via: null, via-in-responses: true }", "forwarding.via-in-responses: 'true' has no meaning"),
            ("forwarding: { client-address: x-real-ip }", "forwarding.client-address: 'x-real-ip'"),
            ("forwarding: { x-forwarded: 3 }", "forwarding.x-forwarded: '3'"),
            ("forwarding: { vai: a }", "forwarding.vai: unknown key 'vai'"),
        ])
    func refused(yaml: String, complaint: String) {
        let complaints = complaints(oneInstance + yaml)
        #expect(complaints.count == 1)
        #expect(complaints.first?.contains(complaint) == true, "\(complaints)")
    }
}
