private import Crypto
private import Synchronization
import VolumeDrivers

/// Packs the ranges of an image into objects, in their order.
///
/// It holds one piece of `ImageLimits.readBytesMax` at a time, whatever the size of the volume. What lies between two
/// ranges that are close to each other goes with them: a list of extents longer than that would cost more.
struct BackupPacker {
    private struct Open {
        var name: String
        var writer: any BackupObjectWriter
        var hash = SHA256()
        var extents: [Range<UInt64>] = []
        var length: UInt64 = 0
    }

    let image: any VolumeImage
    let store: any BackupStore
    let place: BackupPlace
    let prefix: String
    /// Asked before every piece: what it throws ends the backup.
    let check: @Sendable () throws(DriverError) -> Void
    private let objectBytes: UInt64
    private var extentCount = 0
    private var pending: Range<UInt64>?
    private var open: Open?
    private(set) var objects: [BackupManifest.Object] = []
    private(set) var zeros: [Range<UInt64>] = []

    init(
        image: any VolumeImage, store: any BackupStore, place: BackupPlace, prefix: String, objectBytes: UInt64,
        check: @escaping @Sendable () throws(DriverError) -> Void
    ) {
        self.image = image
        self.store = store
        self.place = place
        self.prefix = prefix
        self.check = check
        // So that their list is bounded whatever the size.
        var objectBytes = objectBytes
        while image.bytes / objectBytes > Limits.backupObjectsMax { objectBytes *= 2 }
        self.objectBytes = objectBytes
    }

    mutating func add(_ run: ImageChanges.Run) async throws(DriverError) {
        if run.isZero {
            if let last = zeros.last, last.upperBound == run.range.lowerBound {
                zeros[zeros.count - 1] = last.lowerBound..<run.range.upperBound
            } else {
                guard zeros.count < Limits.backupZerosMax else {
                    return try await add(ImageChanges.Run(run.range, isZero: false))
                }
                zeros.append(run.range)
            }
            return
        }
        if let before = pending {
            let gapBytes = Limits.backupGapBytes << UInt64(extentCount / Limits.backupExtentsPerGap)
            if run.range.lowerBound - before.upperBound <= gapBytes {
                pending = before.lowerBound..<run.range.upperBound
                return
            }
            pending = nil
            try await store(before)
        }
        pending = run.range
        extentCount += 1
    }

    /// The last object is durable when this returns.
    mutating func finish() async throws(DriverError) {
        if let pending {
            self.pending = nil
            try await store(pending)
        }
        try await close()
    }

    /// Leaves what was finished for whoever cleans up.
    mutating func abandon() async {
        await open?.writer.abort()
        open = nil
    }

    private mutating func store(_ range: Range<UInt64>) async throws(DriverError) {
        var at = range.lowerBound
        while at < range.upperBound {
            try check()
            if open == nil {
                let name = BackupManifest.objectName(prefix: prefix, number: objects.count + 1)
                open = Open(name: name, writer: try await store.write(name, in: place))
            }
            guard var open else { return }
            let room = min(UInt64(ImageLimits.readBytesMax), objectBytes - open.length, range.upperBound - at)
            let data = try await image.read(at..<at + room)
            try await open.writer.append(data)
            open.hash.update(data: data)
            if let last = open.extents.last, last.upperBound == at {
                open.extents[open.extents.count - 1] = last.lowerBound..<at + room
            } else {
                open.extents.append(at..<at + room)
            }
            open.length += room
            at += room
            self.open = open
            if open.length == objectBytes { try await close() }
        }
    }

    private mutating func close() async throws(DriverError) {
        guard let open else { return }
        try await open.writer.finish()
        self.open = nil
        objects.append(
            BackupManifest.Object(
                name: open.name, extents: open.extents, sha256: Self.hex(Array(open.hash.finalize()))))
    }

    static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

/// How many backups and restores are carried out at a time; the others wait, in the order in which they came.
final class BackupSlots: Sendable {
    private struct State {
        var free = Limits.backupsAtOnceMax
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                guard state.free > 0 else {
                    state.waiting.append(continuation)
                    return false
                }
                state.free -= 1
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
