// swift-tools-version: 6.2
import PackageDescription

// The import graph points one way (checked by `Tests/run.sh`): UnstickCore and HTTPWire import nothing of ours;
// UnstickProxy and UnstickCoordinator never import each other or a store driver; only `unstick` composes.

let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP2 = Target.Dependency.product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK = Target.Dependency.product(name: "NIOHPACK", package: "swift-nio-http2")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "unstick",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "unstick", targets: ["unstick"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.38.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.34.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Vocabulary and pure state machines; no I/O.
        .target(name: "UnstickCore"),
        // Byte-level HTTP/1.1; no I/O.
        .target(name: "HTTPWire"),
        // The data plane's event loops and sockets: epoll under a NIO `EventLoop`.
        .systemLibrary(name: "CEpoll"),
        .target(name: "SocketLoop", dependencies: ["CEpoll", nio, nioPosix]),

        // The system's OpenSSL 3: hashes, HMAC, random bytes.
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "UnstickCrypto", dependencies: ["COpenSSL"]),

        // The bridge contract's headers and signatures, for proxy and coordinator alike.
        .target(name: "BridgeContract", dependencies: ["UnstickCore", "UnstickCrypto"]),
        // What proxies, command line and coordinator say to each other.
        .target(name: "ControlAPI", dependencies: ["UnstickCore"]),
        // The coordinator's API as a typed client, for the command line and for proxies in processes of their own.
        .target(name: "ControlClient", dependencies: ["ControlAPI", "UnstickCore", nio, nioHTTP1, httpClient]),
        // unstick.yaml, read once at the boundary into validated values.
        .target(name: "UnstickConfiguration", dependencies: ["UnstickCore", yams]),

        // The store protocol and its record, and one target per driver.
        .target(name: "SessionStore", dependencies: ["UnstickCore", nio], path: "Sources/SessionStore/Core"),
        .target(
            name: "MemorySessionStore",
            dependencies: ["SessionStore", "UnstickCore", nio],
            path: "Sources/SessionStore/Memory"
        ),
        .target(
            name: "SQLiteSessionStore",
            dependencies: [
                "SessionStore", "UnstickCore", nio, grdb, .product(name: "GRDBSQLite", package: "GRDB.swift"), logging,
            ],
            path: "Sources/SessionStore/SQLite"
        ),

        // Data plane.
        .target(
            name: "UnstickProxy",
            dependencies: [
                "BridgeContract", "ControlAPI", "HTTPWire", "SessionStore", "SocketLoop", "UnstickCore",
                "UnstickCrypto", nio, nioPosix, nioTLS, nioSSL, nioHTTP2, nioHPACK, logging,
            ]
        ),
        // Spans to an OTLP/HTTP collector.
        .target(
            name: "UnstickTelemetry",
            dependencies: ["UnstickCore", "UnstickCrypto", nio, nioHTTP1, httpClient, logging]),
        // Control plane.
        .target(
            name: "UnstickCoordinator",
            dependencies: [
                "BridgeContract", "ControlAPI", "SessionStore", "UnstickCore", "UnstickCrypto", nio, grdb, logging,
                httpClient, nioHTTP1, .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ]
        ),
        // Load generator and history checker.
        .target(name: "UnstickSoak", dependencies: [nio, nioPosix, nioHTTP1, nioSSL]),

        // The whole story on one machine: `unstick demo`.
        .target(
            name: "UnstickDemo",
            dependencies: ["ControlAPI", "ControlClient", "UnstickCore", "UnstickSoak", nio, nioHTTP1, httpClient]
        ),
        // From reports to the lines of a terminal; no I/O.
        .target(name: "UnstickTerminal", dependencies: ["ControlAPI", "UnstickCore", "UnstickSoak"]),

        .executableTarget(
            name: "unstick",
            dependencies: [
                "BridgeContract", "ControlAPI", "ControlClient", "MemorySessionStore", "SessionStore",
                "SQLiteSessionStore", "UnstickConfiguration", "UnstickCoordinator", "UnstickCore", "UnstickCrypto",
                "UnstickDemo", "UnstickProxy", "UnstickSoak", "UnstickTelemetry", "UnstickTerminal",
                nio, nioPosix, logging, httpClient,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        // Tests: one folder a target.
        .testTarget(name: "UnstickCoreTests", dependencies: ["UnstickCore"]),
        .testTarget(
            name: "HTTPWireTests",
            dependencies: ["HTTPWire", nio, nioHTTP1, nioEmbedded]
        ),
        .testTarget(name: "BridgeContractTests", dependencies: ["BridgeContract", "UnstickCore", "UnstickCrypto"]),
        .testTarget(name: "UnstickConfigurationTests", dependencies: ["UnstickConfiguration", "UnstickCore"]),
        // The contract every store driver must pass; public for drivers written elsewhere.
        .target(
            name: "SessionStoreContract",
            dependencies: ["SessionStore", "UnstickCore", nio],
            path: "Tests/SessionStoreContract"
        ),
        .testTarget(
            name: "SessionStoreTests",
            dependencies: [
                "MemorySessionStore", "SessionStore", "SessionStoreContract", "SQLiteSessionStore", "UnstickCore", grdb,
                nio,
                nioPosix,
            ]
        ),
        .testTarget(name: "SocketLoopTests", dependencies: ["SocketLoop", nio, nioPosix]),
        .testTarget(
            name: "UnstickProxyTests",
            dependencies: [
                "BridgeContract", "ControlAPI", "HTTPWire", "MemorySessionStore", "SessionStore", "SocketLoop",
                "UnstickCore", "UnstickCrypto", "UnstickProxy", nio, nioPosix, nioHTTP1, nioEmbedded, nioTLS, nioSSL,
                nioHTTP2, nioHPACK, httpClient, logging,
                .product(name: "NIOWebSocket", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "UnstickTelemetryTests",
            dependencies: ["UnstickCore", "UnstickTelemetry", nio, nioPosix, nioHTTP1, httpClient, logging],
            exclude: ["collector.py", "requirements.txt"]
        ),
        .testTarget(
            name: "UnstickCoordinatorTests",
            dependencies: [
                "BridgeContract", "ControlAPI", "ControlClient", "MemorySessionStore", "SessionStore",
                "UnstickCoordinator", "UnstickCore", "UnstickCrypto", logging, nio, nioPosix, nioHTTP1, httpClient,
            ]
        ),
        .testTarget(
            name: "UnstickDemoTests", dependencies: ["ControlAPI", "UnstickCore", "UnstickDemo", "UnstickSoak"]),
        .testTarget(
            name: "UnstickTerminalTests", dependencies: ["ControlAPI", "UnstickCore", "UnstickSoak", "UnstickTerminal"]
        ),
        // Every command's arguments, options and exit codes; starts the built binary for a few.
        .testTarget(
            name: "UnstickCommandTests",
            dependencies: [
                "BridgeContract", "ControlAPI", "ControlClient", "UnstickConfiguration", "UnstickCoordinator",
                "UnstickCore", "UnstickProxy", "UnstickSoak", "unstick", nio, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        .testTarget(name: "UnstickSoakTests", dependencies: ["UnstickSoak", nio, nioPosix, nioHTTP1]),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "ControlAPI", "ControlClient", "UnstickCore", "UnstickSoak", nio, nioPosix, nioHTTP1, httpClient,
                "unstick",
            ],
            path: "Tests/Integration",
            exclude: ["Applications"]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system && target.type != .plugin {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .treatAllWarnings(as: .error),
    ]
}

// The data plane's classes belong to one event loop each; checking every access of their fields again at run time costs
// some 4 % of its CPU time. Debug builds, and so all tests, keep the checks.
for target in package.targets where ["HTTPWire", "SocketLoop", "UnstickProxy"].contains(target.name) {
    target.swiftSettings?.append(.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)))
}
