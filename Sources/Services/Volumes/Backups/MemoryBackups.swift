private import Synchronization
package import VolumeDrivers

/// Backups' objects in memory, for tests.
package final class MemoryBackups: BackupStore {
    package enum Step: Sendable, Hashable {
        case prepare, write(String), append(String), open(String), delete(String), names(String)
    }

    /// Asked before every call: it may wait, and what it throws is the call's outcome.
    package typealias Hook = @Sendable (Step) async throws(DriverError) -> Void

    private struct State {
        var objects: [BackupPlace: [String: [UInt8]]] = [:]
        var hook: Hook?
    }

    private let state = Mutex(State())
    package let driverName = "cinder.backup.drivers.memory.MemoryBackupDriver"

    package init() {}

    package func setHook(_ hook: Hook?) { state.withLock { $0.hook = hook } }

    private func passed(_ step: Step) async throws(DriverError) {
        let hook = state.withLock { $0.hook }
        try await hook?(step)
    }

    package func prepare(_ place: BackupPlace) async throws(DriverError) {
        try await passed(.prepare)
        state.withLock { if $0.objects[place] == nil { $0.objects[place] = [:] } }
    }

    package func write(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectWriter {
        try await passed(.write(name))
        return Writer(store: self, name: name, place: place)
    }

    package func open(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectReader {
        try await passed(.open(name))
        guard let data = state.withLock({ $0.objects[place]?[name] }) else { throw .absent(name) }
        return Reader(data: data)
    }

    package func delete(_ name: String, in place: BackupPlace) async throws(DriverError) {
        try await passed(.delete(name))
        state.withLock { $0.objects[place]?[name] = nil }
    }

    package func names(
        prefix: String, after marker: String?, in place: BackupPlace
    ) async throws(DriverError) -> [String] {
        try await passed(.names(prefix))
        return state.withLock { state in
            Array(
                (state.objects[place] ?? [:]).keys.filter { $0.hasPrefix(prefix) && $0 > marker ?? "" }.sorted()
                    .prefix(Limits.backupNamesPageMax))
        }
    }

    private final class Writer: BackupObjectWriter {
        private let store: MemoryBackups
        private let name: String
        private let place: BackupPlace
        private let data = Mutex<[UInt8]>([])

        init(store: MemoryBackups, name: String, place: BackupPlace) {
            self.store = store
            self.name = name
            self.place = place
        }

        func append(_ data: [UInt8]) async throws(DriverError) {
            try await store.passed(.append(name))
            self.data.withLock { $0 += data }
        }

        func finish() async throws(DriverError) {
            let data = data.withLock { $0 }
            store.state.withLock { $0.objects[place, default: [:]][name] = data }
        }

        func abort() async {}
    }

    private struct Reader: BackupObjectReader {
        let data: [UInt8]
        var byteCount: Int { data.count }

        func read(_ range: Range<Int>) async throws(DriverError) -> [UInt8] {
            guard range.upperBound <= data.count else { throw .invalid("\(range) is not within the object") }
            return Array(data[range])
        }
    }

    // MARK: For tests.

    package func objects(in place: BackupPlace) -> [String: [UInt8]] { state.withLock { $0.objects[place] ?? [:] } }
    package var objectCount: Int { state.withLock { $0.objects.values.reduce(0) { $0 + $1.count } } }

    package func change(_ name: String, in place: BackupPlace, _ data: [UInt8]?) {
        state.withLock { $0.objects[place, default: [:]][name] = data }
    }
}
