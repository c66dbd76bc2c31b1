import Logging
import NIOCore
import NIOPosix
import Testing

@testable import UnstickProxy

@Suite("TLS towards instances")
struct UpstreamTLSTests {
    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let promise: EventLoopPromise<String>
        init(_ promise: EventLoopPromise<String>) { self.promise = promise }
        func channelActive(context: ChannelHandlerContext) {
            let request = ByteBuffer(string: "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
            context.writeAndFlush(NIOAny(request), promise: nil)
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            promise.succeed(String(buffer: unwrapInboundIn(data)))
            context.close(promise: nil)
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            promise.fail(error)
            context.close(promise: nil)
        }
        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }

    /// Whether a connection to the server, addressed as `host`, can be used.
    private func connects(_ tls: UpstreamTLS, _ server: TLSTestServer, host: String) async throws -> Bool {
        let promise = server.group.next().makePromise(of: String.self)
        _ = try await ClientBootstrap(group: server.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(tls.handlers(host: host) + [Collector(promise)])
                }
            }
            .connect(host: "127.0.0.1", port: server.port).get()
        return (try? await promise.futureResult.get())?.hasPrefix("HTTP/1.1 200 OK\r\n") == true
    }

    private func with(_ body: (TLSTestAuthority, TLSTestServer, ProxyOptions.UpstreamTLS) async throws -> Void)
        async throws
    {
        try await TLSTestAuthority.with { authority in
            try await authority.issue("a", subject: "/CN=x", alternatives: "DNS:a.test,IP:127.0.0.1")
            try await authority.issue("client", subject: "/CN=proxy")
            var serverOptions = tlsOptions(authority, "a")
            serverOptions.clientAuthentication = .optional
            serverOptions.clientAuthorityFile = authority.path("ca.pem")
            serverOptions.clientCertificateHeader = .xClientCert
            try await TLSTestServer.with(tls: serverOptions) { server in
                var options = ProxyOptions.UpstreamTLS()
                options.authorityFile = authority.path("ca.pem")
                try await body(authority, server, options)
            }
        }
    }

    @Test("names and addresses are verified")
    func verification() async throws {
        try await with { authority, server, options in
            let logger = Logger(label: "test")
            let full = try UpstreamTLS(options: options, logger: logger)
            let check1 = try await connects(full, server, host: "a.test")
            #expect(check1)
            let check2 = try await connects(full, server, host: "127.0.0.1")
            #expect(check2)
            let check3 = try await connects(full, server, host: "b.test")
            #expect(!check3)

            var named = options
            named.serverName = "a.test"
            let check4 = try await connects(UpstreamTLS(options: named, logger: logger), server, host: "b.test")
            #expect(check4)
            named.serverName = "c.test"
            let check5 = try await connects(UpstreamTLS(options: named, logger: logger), server, host: "a.test")
            #expect(!check5)

            var chain = options
            chain.verification = .chain
            let check6 = try await connects(UpstreamTLS(options: chain, logger: logger), server, host: "b.test")
            #expect(check6)

            var system = options
            system.authorityFile = nil
            let check7 = try await connects(UpstreamTLS(options: system, logger: logger), server, host: "a.test")
            #expect(!check7)
            system.verification = .none
            let check8 = try await connects(UpstreamTLS(options: system, logger: logger), server, host: "a.test")
            #expect(check8)
        }
    }

    @Test("the proxy's own certificate is shown, and its files are followed")
    func clientCertificate() async throws {
        try await with { authority, server, options in
            var options = options
            options.certificate = .init(chainFile: authority.path("client.pem"), keyFile: authority.path("client.key"))
            let tls = try UpstreamTLS(options: options, logger: Logger(label: "test"))
            let check9 = try await connects(tls, server, host: "a.test")
            #expect(check9)
            let lines = String(decoding: server.log.securities.last?.certificateLines ?? [], as: UTF8.self)
            #expect(lines.contains("X-Client-Cert-Subject: CN=proxy\r\n"))

            #expect(tls.reloadIfChanged() == .unchanged)
            try authority.write("client.key", "nothing")
            #expect(tls.reloadIfChanged() == .settling)
            let broken = TLSFileError(authority.path("client.key"), "holds no private key in PEM form")
            #expect(tls.reloadIfChanged() == .failed([broken]))
            let check10 = try await connects(tls, server, host: "a.test")
            #expect(check10)
            #expect(tls.reloadIfChanged() == .unchanged)
        }
    }
}
