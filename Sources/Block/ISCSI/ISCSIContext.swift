import Primitives

/// What all connections of a server share.
final class ISCSIContext: Sendable {
    let configuration: ISCSIConfiguration
    let provider: any TargetProvider
    let sessions = SessionTable()
    let throttle = LoginThrottle()
    let failureReports = FailureReports()
    let counters = PosixLocked(ISCSICounters())
    /// As bound, with their real ports.
    let portals: PosixLocked<[ISCSIPortal]>

    init(configuration: ISCSIConfiguration, provider: any TargetProvider) {
        self.configuration = configuration
        self.provider = provider
        portals = PosixLocked(configuration.portals)
    }
}
