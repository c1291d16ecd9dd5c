import HTTPFace
import ISCSI

/// What the iSCSI target is watched by.
enum TargetMetrics {
    static func register(_ server: ISCSIServer, in metrics: MetricsRegistry) {
        let now: @Sendable () -> ISCSIMeasures = { server.measures() }
        metrics.gauge("iscsi_sessions", help: "Sessions, those for discovery too.") { Double(now().sessions) }
        metrics.gauge("iscsi_connections", help: "Open connections.") { Double(now().connections) }
        metrics.gauge("iscsi_half_open_connections", help: "Open connections that have not logged in.") {
            Double(now().halfOpen)
        }
        func counter(_ name: String, _ help: String, _ value: @escaping @Sendable (ISCSICounters) -> UInt64) {
            metrics.gauge("iscsi_\(name)_total", help: help, type: "counter") { Double(value(now().counters)) }
        }
        counter("connections", "Connections that were taken.") { $0.connections }
        counter("refused_connections", "Connections that were closed at once: too many.") { $0.refusedConnections }
        counter("logins", "Logins that succeeded.") { $0.logins }
        counter("failed_logins", "Logins that did not.") { $0.failedLogins }
        counter("commands", "SCSI commands.") { $0.commands }
        counter("received_bytes", "Bytes from initiators, headers included.") { $0.bytesIn }
        counter("sent_bytes", "Bytes to initiators, headers included.") { $0.bytesOut }
        counter("check_conditions", "SCSI commands that ended in CHECK CONDITION.") { $0.checkConditions }
        counter("rejects", "Requests that were rejected.") { $0.rejects }
        counter("digest_errors", "PDUs whose CRC32C was wrong.") { $0.digestErrors }
        counter("protocol_errors", "Connections ended for what the initiator sent.") { $0.protocolErrors }
        counter("task_management", "Task management requests.") { $0.taskManagement }
    }
}
