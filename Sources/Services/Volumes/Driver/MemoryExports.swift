private import Synchronization

/// Targets that nobody can reach, for tests: it remembers what is open and what happened.
package final class MemoryExports: VolumeExporter {
    private struct State {
        var open: [String: VolumeExport] = [:]
        var loggedIn: Set<String> = []
        var sizes: [String: UInt64] = [:]
        var failure: DriverError?
        var portals = [ExportPortal(address: "127.0.0.1", port: 3260)]
    }

    private let state = Mutex(State())

    package init() {}

    package func export(_ export: VolumeExport) async throws(DriverError) -> [ExportPortal] {
        let (failure, portals) = state.withLock { state in
            if state.failure == nil { state.open[export.id] = export }
            return (state.failure, state.portals)
        }
        if let failure { throw failure }
        return portals
    }

    package func unexport(_ id: String) async throws(DriverError) {
        let failure = state.withLock { state in
            if state.failure == nil {
                state.open[id] = nil
                state.loggedIn.remove(id)
            }
            return state.failure
        }
        if let failure { throw failure }
    }

    package func resized(_ volume: String, to bytes: UInt64) async { state.withLock { $0.sizes[volume] = bytes } }

    package func exports() async -> [String: Bool] {
        state.withLock { state in
            Dictionary(uniqueKeysWithValues: state.open.keys.map { ($0, state.loggedIn.contains($0)) })
        }
    }

    // MARK: For tests.

    package var open: [String: VolumeExport] { state.withLock { $0.open } }
    package var sizes: [String: UInt64] { state.withLock { $0.sizes } }
    package func logIn(_ id: String) { state.withLock { _ = $0.loggedIn.insert(id) } }
    package func setFailure(_ failure: DriverError?) { state.withLock { $0.failure = failure } }
    package func setPortals(_ portals: [ExportPortal]) { state.withLock { $0.portals = portals } }
    /// As after a restart of the daemon.
    package func forgetAll() {
        state.withLock { state in
            state.open = [:]
            state.loggedIn = []
        }
    }
}
