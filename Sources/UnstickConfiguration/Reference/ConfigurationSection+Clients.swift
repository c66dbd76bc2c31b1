extension ConfigurationSection {
    static let tls = ConfigurationSection(
        title: "TLS",
        text: """
            TLS towards clients, at an address of its own beside `listen`. Certificates are loaded again when their files \
            change or on SIGHUP, without dropping a connection.
            """,
        paths: ["tls"],
        example: """
            listen: 0.0.0.0:80
            tls:
              listen: 0.0.0.0:443
              certificates:
                - { cert: shop.example.pem, key: shop.example-key.pem }
                - { cert: admin.example.pem, key: admin.example-key.pem }
              min-version: 1.2
            """)

    static let http2 = ConfigurationSection(
        title: "HTTP/2",
        text: """
            HTTP/2 is spoken with clients that choose `h2` in the TLS handshake (`tls.alpn`); instances are spoken to in \
            HTTP/1.1. The limits end connections that flood.
            """,
        paths: ["http2"],
        example: """
            tls:
              listen: 0.0.0.0:443
              certificates: [{ cert: shop.example.pem, key: shop.example-key.pem }]
              alpn: [h2, http/1.1]
            http2:
              max-concurrent-streams: 100
              stream-window: 256KiB
              resets: 200
            """)

    static let clients = ConfigurationSection(
        title: "Clients behind other proxies",
        text: """
            Whose word about a client's address, protocol and host is believed, and what instances are told. Without \
            `trusted-proxies` and PROXY protocol the client is who is connected.
            """,
        paths: ["listen-proxy-protocol", "listen-proxy-protocol-from", "trusted-proxies", "forwarding"],
        example: """
            listen-proxy-protocol: required
            listen-proxy-protocol-from: [10.0.0.0/24]
            trusted-proxies: [10.0.0.0/24, "fd00:1::/64"]
            forwarding: { forwarded: true, x-real-ip: true }
            """)

    static let limits = ConfigurationSection(
        title: "Limits",
        text: """
            Nothing grows without end. A request beyond a limit is answered 431 (head, fields), 414 (target) or 413 (body); \
            at the limit of connections no further ones are accepted.
            """,
        paths: ["limits"],
        example: """
            limits:
              head: 64KiB
              body: 32MiB
              connections: 20000
              upstream-connections: 256
            """)

    static let greed = ConfigurationSection(
        title: "Slow and greedy clients",
        text: "What one client may hold, and how fast it has to send. Clients are told apart by address.",
        paths: [
            "limits.connections-per-client", "limits.body-rate", "limits.body-rate-grace", "limits.body-rate-window",
        ],
        example: """
            limits:
              connections-per-client: 100
              body-rate: 1KiB/s
              body-rate-grace: 20s
            """)

    static let rateLimits = ConfigurationSection(
        title: "Rate limits",
        text: """
            What is above a rate is answered 429 with `Retry-After`. A rate is counted over all event loops of a proxy; \
            several proxies count each for itself.
            """,
        paths: ["rate-limits", "limits.rate-limit-clients"],
        example: """
            rate-limits:
              - { name: login, match: { path-prefix: /login, methods: [POST] }, per: client, rate: 10/m, burst: 5 }
              - { name: search, match: { path-prefix: /search }, per: route, rate: 200/s }
              - { name: everything, per: client, rate: 100/s }
            """)

    static let timeouts = ConfigurationSection(
        title: "Timeouts",
        text: "Every wait has an end.",
        paths: ["timeouts"],
        example: """
            timeouts:
              connect: 2s
              response: 1m
              client-head: 15s
              stream: 5m
            """)
}
