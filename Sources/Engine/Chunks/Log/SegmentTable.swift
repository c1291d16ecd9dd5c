import Codecs
import Disks
import Primitives

/// The segment files of a store: their ids, their creation, and open files for reading them.
final class SegmentTable: Sendable {
    static let folder = "seg"

    let disk: any Disk
    let segmentBytes: Int
    let storeUUID: [UInt8]
    let secret: HashSecret
    let mutant: Mutant?

    private let mutex = PosixMutex()
    private let state: PosixGuarded<State>

    private struct State {
        var nextID: UInt32
        var count: Int
        /// Sizes of all segments and spares: what they take, since their blocks are reserved.
        var allocated: Int64
        var open: [UInt32: any DiskFile] = [:]
    }

    init(disk: any Disk, superblock: Superblock, mutant: Mutant?) throws(DiskError) {
        let existing = try Self.existing(disk)
        var allocated: Int64 = 0
        for id in existing { allocated += try disk.open(Self.path(id), .read).size() }
        self.disk = disk
        segmentBytes = Int(superblock.segmentBytes)
        storeUUID = superblock.uuid
        secret = superblock.secret
        self.mutant = mutant
        state = PosixGuarded(State(nextID: (existing.max() ?? 0) + 1, count: existing.count, allocated: allocated))
    }

    static func path(_ id: UInt32) -> String {
        let digits = String(id, radix: 16)
        return "\(folder)/" + String(repeating: "0", count: 16 - digits.count) + digits + ".seg"
    }

    /// Ids of the segment files in the folder; other names are not ours and are left alone.
    static func existing(_ disk: any Disk) throws(DiskError) -> [UInt32] {
        try disk.list(folder).compactMap { name in
            guard name.hasSuffix(".seg"), name.utf8.count == 20 else { return nil }
            return UInt32(name.dropLast(4), radix: 16)
        }.sorted()
    }

    var count: Int { mutex.withLock { state.value.count } }

    /// Bytes that all segments and spares take.
    var allocatedBytes: Int64 { mutex.withLock { state.value.allocated } }

    /// A file that waits for its turn has another name, so that recovery never wonders whether a segment
    /// without a header was one.
    static func sparePath(_ id: UInt32) -> String { path(id).dropLast(4) + ".spare" }

    /// Spares that an earlier process left: nothing in them was ever committed.
    func removeLeftoverSpares() throws(DiskError) {
        for name in try disk.list(Self.folder) where name.hasSuffix(".spare") {
            try disk.remove("\(Self.folder)/\(name)")
        }
    }

    /// Makes a spare of full size under a new id; reading it gives zeros.
    ///
    /// - Parameter zeroFilled: write the zeros (a later overwrite then commits fastest) or only reserve the blocks.
    func create(zeroFilled: Bool) throws(DiskError) -> (id: UInt32, file: any DiskFile) {
        let id = mutex.withLock {
            defer { state.value.nextID += 1 }
            return state.value.nextID
        }
        let path = Self.sparePath(id)
        let file = try disk.open(path, .writeDirect)
        do throws(DiskError) {
            try file.allocate(Int64(segmentBytes))
            if zeroFilled {
                let zeros = AlignedBuffer(min(Limits.zeroFillBytes, segmentBytes), zeroed: true)
                var offset = 0
                while offset < segmentBytes {
                    let count = min(zeros.bytes.count, segmentBytes - offset)
                    try file.write(zeros.range(0, count), at: Int64(offset))
                    offset += count
                }
            }
            try file.sync()
        } catch {
            // Best effort: the caller hears of the first error; an id is never used again, and the next start removes
            // every spare that was left.
            do { try disk.remove(path) } catch {}
            throw error
        }
        mutex.withLock { state.value.allocated += Int64(segmentBytes) }
        return (id, file)
    }

    /// Turns a spare into a segment: its name is durable on return, its header is not written.
    func adopt(_ id: UInt32) throws(DiskError) {
        try disk.rename(Self.sparePath(id), to: Self.path(id))
        mutex.withLock { state.value.count += 1 }
        #if DEBUG
            if mutant == .skipDirectorySync { return }
        #endif
        try disk.syncDirectory(Self.folder)
    }

    /// Removes a spare that was not used.
    func removeSpare(_ id: UInt32) throws(DiskError) {
        try disk.remove(Self.sparePath(id))
        mutex.withLock { state.value.allocated -= Int64(segmentBytes) }
    }

    /// Gives back what a segment holds behind `end`, or behind all that was ever written to it.
    func trim(_ id: UInt32, from end: Int?) throws(DiskError) {
        let file = try disk.open(Self.path(id), .readWrite)
        let size = try file.size()
        var keep = end ?? 0
        if end == nil { keep = Int(try file.dataEnd()) }
        keep = roundUp(keep, to: diskBlockBytes)
        guard keep < size else { return }
        try file.truncate(Int64(keep))
        mutex.withLock { state.value.allocated -= size - Int64(keep) }
    }

    /// The segment that large bodies went to last, if it is among the newest few.
    func newestBulk() throws(DiskError) -> UInt32? {
        for id in try Self.existing(disk).suffix(Self.newestMax).reversed() where try readHeader(id)?.kind == .bulk {
            return id
        }
        return nil
    }

    private static let newestMax = 16

    func writeHeader(_ header: SegmentHeader, to file: any DiskFile) throws(DiskError) {
        let buffer = AlignedBuffer(SegmentHeader.byteCount)
        header.encode(into: buffer.bytes, secret)
        try file.write(UnsafeRawBufferPointer(buffer.bytes), at: 0)
    }

    /// The segment's header, read past the page cache; nil if it has none of ours.
    func readHeader(_ id: UInt32) throws(DiskError) -> SegmentHeader? {
        let file = try disk.open(Self.path(id), .readDirect)
        let buffer = AlignedBuffer(SegmentHeader.byteCount)
        guard try file.read(into: buffer.bytes, at: 0) == SegmentHeader.byteCount else { return nil }
        return SegmentHeader(UnsafeRawBufferPointer(buffer.bytes), id: id, storeUUID: storeUUID, secret)
    }

    /// An open file for cached reads.
    func reader(_ id: UInt32) throws(DiskError) -> any DiskFile {
        if let file = openReader(id) { return file }
        let file = try disk.open(Self.path(id), .read)
        mutex.withLock {
            if state.value.open.count >= Limits.openSegmentsMax, let victim = state.value.open.first?.key {
                state.value.open[victim] = nil
            }
            state.value.open[id] = file
        }
        return file
    }

    /// The same if it is open already: never blocks.
    func openReader(_ id: UInt32) -> (any DiskFile)? { mutex.withLock { state.value.open[id] } }
}
