extension ConfigurationSection {
    static let session = ConfigurationSection(
        title: "Sessions",
        text: """
            Where the application's session id stands in a request, and how long a session lives. Several places may be \
            named; the cookie is looked at first.
            """,
        paths: ["session"],
        example: """
            session:
              cookie: JSESSIONID
              url-parameter: jsessionid
              ttl: 30m
              concurrency: merge
            """)

    static let store = ConfigurationSection(
        title: "Bridge and store",
        text: """
            The secret that proxies and bridges share, and where sessions go. A store in memory serves demonstrations of \
            `unstick up` only.
            """,
        paths: ["bridge", "store"],
        example: """
            bridge: { secret-file: bridge.key }
            store: { url: "sqlite:/var/lib/unstick/sessions.db" }
            """)

    static let migration = ConfigurationSection(
        title: "Migration and coordinator",
        text: "What the control plane is called, remembers, and waits for.",
        paths: ["migration", "coordinator"],
        example: """
            migration: { name: shop }
            coordinator:
              journal: /var/lib/unstick/journal.db
              soak-time: 1h
              acknowledge-timeout: 1m
            """)

    static let proxies = ConfigurationSection(
        title: "Proxies",
        text: """
            What a proxy process has of its own. Several share one file: `--name`, `--listen` and `--coordinator` of \
            `unstick proxy` go before it.
            """,
        paths: ["proxy"],
        example: """
            proxy:
              name: edge-1
              threads: 4
              coordinator: "http://10.0.0.5:9090"
              admin: 127.0.0.1:9091
            """)
}
