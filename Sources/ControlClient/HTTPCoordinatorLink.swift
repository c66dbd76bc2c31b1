public import ControlAPI
public import UnstickCore

/// The control protocol over HTTP, for a proxy in a process of its own.
public struct HTTPCoordinatorLink: CoordinatorLink {
    private let client: ControlClient

    public init(client: ControlClient) {
        self.client = client
    }

    public func report(_ report: ProxyReport) async throws -> ProxyReportReply {
        try await client.report(report)
    }

    public func table(newerThan epoch: Epoch?, patience: Duration) async throws -> RoutingTable? {
        try await client.table(newerThan: epoch, patience: patience)
    }
}
