extension ConfigurationSection {
    static let addresses = ConfigurationSection(
        title: "Addresses",
        text: """
            Where clients and operators connect. `unstick up` serves both; `unstick proxy` serves `listen`, \
            `unstick coordinator` serves `admin`.
            """,
        paths: ["listen", "admin", "admin-token-file"],
        example: """
            listen: 0.0.0.0:80
            admin: 10.0.0.5:9090
            admin-token-file: admin.key
            """)

    static let instances = ConfigurationSection(
        title: "Instances",
        text: """
            The running copies of the application, listed or found by name. `unstick instances add`, `remove` and `weight` \
            change them at run time.
            """,
        paths: ["instances", "coordinator.watch-instances", "coordinator.watch-interval"],
        example: """
            instances:
              - { name: web-1, url: "http://10.0.0.11:5001", weight: 2 }
              - { name: web-2, url: "https://app.internal:8443" }
              - { name: auto, discover: workers.internal, port: 5001 }
            coordinator: { watch-instances: true, watch-interval: 5s }
            """)

    static let affinity = ConfigurationSection(
        title: "Affinity",
        text: """
            How a client finds its instance again. The cookie holds the instance's name and a signature, \
            so that nobody can choose an instance. It is `HttpOnly`.
            """,
        paths: ["affinity"],
        example: """
            affinity:
              method: cookie
              cookie: UNSTICK
              secure: auto
              same-site: Lax
              path: /
            """)

    static let adoptedAffinity = ConfigurationSection(
        title: "Affinities of other balancers",
        text: """
            What clients still hold from the balancer that Unstick replaces, so that no session loses its instance. Each \
            format, with what it is for, is explained in [From HAProxy, nginx or ALB](from-other-balancers.md).
            """,
        paths: ["affinity.adopt"],
        example: """
            instances:
              - { name: web-1, url: "http://10.0.0.11:5001" }
              - { name: web-2, url: "http://10.0.0.12:5001" }
            affinity:
              adopt:
                - { cookie: SERVERID, format: haproxy-insert, map: { s1: web-1, s2: web-2 } }
                - { cookie: JSESSIONID, parameter: jsessionid, format: route }
            """)

    static let balance = ConfigurationSection(
        title: "Balancing",
        text: "Who gets a request that no instance has a claim to. Each event loop of a proxy counts for itself.",
        paths: ["balance", "slow-start"],
        example: """
            balance: weighted-least-connections
            slow-start: { time: 30s, floor: 10 }
            """)

    static let health = ConfigurationSection(
        title: "Health checks",
        text: """
            Every proxy asks every instance. An instance that is out gets no new sessions; what becomes of its own depends on \
            the phase.
            """,
        paths: ["health"],
        example: """
            health:
              path: /healthz
              host: shop.example
              status: [200-299]
              interval: 2s
              fall: 3
            """)

    static let upstreamTLS = ConfigurationSection(
        title: "TLS to instances",
        text: "For instances with an `https://` URL; health checks and the bridge's endpoints included.",
        paths: ["upstream-tls"],
        example: """
            instances:
              - { name: web-1, url: "https://10.0.0.11:8443" }
            upstream-tls:
              verify: full
              ca-file: internal-ca.pem
              server-name: shop.internal
            """)
}
