import Codecs
import Disks
import Primitives
private import Synchronization

extension LayeredVolume {
    /// Fills `buffer` from `offset` on without waiting for a disk: false if it would have to, or if bytes did not verify (`read`
    /// then says so).
    ///
    /// - Precondition: whole sectors of 512 bytes, within the volume.
    package func readCached(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Bool {
        var read = BlockRead(self, offset, buffer)
        return try read.run(mayBlock: false)
    }

    /// The same, waiting for the disk where it must. Every byte was verified on this read (I8).
    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) {
        var read = BlockRead(self, offset, buffer)
        guard try read.run(mayBlock: true) else { throw .overloaded }
    }

    /// Whether each block of the range has bytes of its own in some layer, in runs from the first: at most `max` runs, of
    /// at most `Limits.runsLeavesMax` leaves. May wait for the disk.
    package func runs(
        of blocks: Range<UInt64>, max: Int
    ) throws(ChunkError) -> [(blocks: Range<UInt64>, isMapped: Bool)] {
        var out: [(blocks: Range<UInt64>, isMapped: Bool)] = []
        var block = blocks.lowerBound
        var leavesLeft = Limits.runsLeavesMax
        while block < blocks.upperBound, leavesLeft > 0 {
            leavesLeft -= 1
            let leaf = try resolve(UInt32(block / UInt64(Leaf.blocks)))
            repeat {
                let entry = leaf[Int(block % UInt64(Leaf.blocks))]
                let isMapped = entry.isPresent && !entry.isZero
                if let last = out.last, last.isMapped == isMapped {
                    out[out.count - 1].blocks = last.blocks.lowerBound..<block + 1
                } else {
                    if out.count == max { return out }
                    out.append((block..<block + 1, isMapped))
                }
                block += 1
            } while block < blocks.upperBound && block % UInt64(Leaf.blocks) != 0
        }
        return out
    }
}

/// One read on its way: block by block, those of one extent together.
private struct BlockRead {
    private let volume: LayeredVolume
    private let offset: UInt64
    private let buffer: UnsafeMutableRawBufferPointer
    private var entries: [MapEntry] = []
    private var scratch: AlignedBuffer?
    /// Where the scratch holds an expanded extent, to serve its next blocks from.
    private var expanded: (locator: UInt64, count: Int)?

    private static let blockBytes = Limits.volumeBlockBytes
    /// Room for an extent as stored and, behind it, as it was.
    private static let unitBytes = Limits.compressionUnitBlocks * Limits.volumeBlockBytes

    init(_ volume: LayeredVolume, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) {
        precondition(offset % 512 == 0 && buffer.count % 512 == 0)
        self.volume = volume
        self.offset = offset
        self.buffer = buffer
    }

    /// False: it can't be done without blocking.
    mutating func run(mayBlock: Bool) throws(ChunkError) -> Bool {
        defer { if let scratch { VolumeScratch.give(scratch) } }
        guard buffer.count > 0 else { return true }
        let first = offset / UInt64(Self.blockBytes)
        let end = (offset + UInt64(buffer.count) + UInt64(Self.blockBytes) - 1) / UInt64(Self.blockBytes)
        var block = first
        while block < end {
            let place = Int(block % UInt64(Leaf.blocks))
            let count = Int(min(end - block, UInt64(Leaf.blocks - place)))
            guard try lookUp(UInt32(block / UInt64(Leaf.blocks)), place..<place + count, mayBlock) else { return false }
            var at = 0
            while at < count {
                guard let done = try readRun(from: at, block: block + UInt64(at), mayBlock) else { return false }
                at += done
            }
            block += UInt64(count)
        }
        return true
    }

    private mutating func lookUp(_ leaf: UInt32, _ range: Range<Int>, _ mayBlock: Bool) throws(ChunkError) -> Bool {
        entries.removeAll(keepingCapacity: true)
        if volume.store.volumes.copy(
            VolumeTable.LeafID(volume: volume.number, index: leaf), range, into: &entries)
        {
            return true
        }
        guard mayBlock else { return false }
        try volume.resolve(leaf).copy(range, into: &entries)
        return true
    }

    /// Reads the blocks from `entries[at]` on that lie side by side in one extent; how many. nil: it would block.
    private mutating func readRun(from at: Int, block: UInt64, _ mayBlock: Bool) throws(ChunkError) -> Int? {
        let entry = entries[at]
        guard entry.isPresent, !entry.isZero else {
            var count = 1
            while at + count < entries.count, !entries[at + count].isPresent || entries[at + count].isZero {
                count += 1
            }
            let target = target(block, count)
            target.zero(0, target.count)
            return count
        }
        guard let extent = entry.extent else { throw .corruptIndex("a map entry that is not understood") }
        if extent.isLZ4 {
            return try readCompressed(extent, entry, block, mayBlock) ? 1 : nil
        }
        var count = 1
        while at + count < entries.count, let next = entries[at + count].extent, next.segment == extent.segment,
            next.offset == extent.offset, next.storedBytes == extent.storedBytes, !next.isLZ4,
            entries[at + count].block == entry.block + count
        { count += 1 }
        return try readRaw(extent, at, count, block, mayBlock) ? count : nil
    }

    /// What of these blocks was asked for.
    private func target(_ block: UInt64, _ count: Int) -> UnsafeMutableRawBufferPointer {
        let start = max(block * UInt64(Self.blockBytes), offset)
        let end = min((block + UInt64(count)) * UInt64(Self.blockBytes), offset + UInt64(buffer.count))
        return UnsafeMutableRawBufferPointer(rebasing: buffer[Int(start - offset)..<Int(end - offset)])
    }

    private mutating func readRaw(
        _ extent: Extent, _ at: Int, _ count: Int, _ block: UInt64, _ mayBlock: Bool
    ) throws(ChunkError) -> Bool {
        let target = target(block, count)
        let position = Int64(extent.offset) + Int64(entries[at].block * Self.blockBytes)
        if target.count == count * Self.blockBytes {
            // Whole blocks: straight to where they are wanted.
            for attempt in 0..<2 {
                guard try load(extent, position, target, mayBlock, isSecond: attempt == 1) else { return false }
                let isSound = (0..<count).allSatisfy { i in
                    verifies(
                        UnsafeRawBufferPointer(rebasing: target[i * Self.blockBytes..<(i + 1) * Self.blockBytes]),
                        entries[at + i])
                }
                if isSound { return true }
                guard mayBlock else { return false }
            }
            throw damage(extent)
        }
        // A part of the first or the last: each block by itself, through the scratch.
        for i in 0..<count {
            let whole = needScratch().mutableRange(0, Self.blockBytes)
            expanded = nil
            var isSound = false
            for attempt in 0..<2 where !isSound {
                let place = position + Int64(i * Self.blockBytes)
                guard try load(extent, place, whole, mayBlock, isSecond: attempt == 1) else { return false }
                isSound = verifies(UnsafeRawBufferPointer(whole), entries[at + i])
                if !isSound, !mayBlock { return false }
            }
            guard isSound else { throw damage(extent) }
            copy(UnsafeRawBufferPointer(whole), block + UInt64(i))
        }
        return true
    }

    private mutating func readCompressed(
        _ extent: Extent, _ entry: MapEntry, _ block: UInt64, _ mayBlock: Bool
    ) throws(ChunkError) -> Bool {
        let unit = needScratch()
        let base = entry.locator - UInt64(entry.block) << 57
        if expanded?.locator != base {
            expanded = nil
            let stored = Int(extent.storedBytes)
            guard stored <= Self.unitBytes else { throw .corruptIndex("a compressed extent of \(stored) bytes") }
            var raw = 0
            for attempt in 0..<2 where raw == 0 {
                let target = unit.mutableRange(0, stored)
                guard try load(extent, Int64(extent.offset), target, mayBlock, isSecond: attempt == 1) else {
                    return false
                }
                let bytes = UnsafeRawBufferPointer(target)
                if verifies(bytes, entry), let length = FrameCodec.rawLength(bytes), length <= Self.unitBytes,
                    length % Self.blockBytes == 0,
                    FrameCodec.expand(bytes, into: unit.mutableRange(Self.unitBytes, length))
                {
                    raw = length
                } else if !mayBlock {
                    return false
                }
            }
            guard raw > 0 else { throw damage(extent) }
            expanded = (base, raw)
        }
        guard let expanded, (entry.block + 1) * Self.blockBytes <= expanded.count else { throw damage(extent) }
        copy(unit.range(Self.unitBytes + entry.block * Self.blockBytes, Self.blockBytes), block)
        return true
    }

    /// A whole block's bytes to what was asked for of it.
    private func copy(_ bytes: UnsafeRawBufferPointer, _ block: UInt64) {
        let target = target(block, 1)
        let start = block * UInt64(Self.blockBytes)
        let skip = offset > start ? Int(offset - start) : 0
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[skip..<skip + target.count]))
    }

    private mutating func needScratch() -> AlignedBuffer {
        if let scratch { return scratch }
        let taken = VolumeScratch.take()
        scratch = taken
        return taken
    }

    /// False: it would block.
    private func load(
        _ extent: Extent, _ position: Int64, _ target: UnsafeMutableRawBufferPointer, _ mayBlock: Bool, isSecond: Bool
    ) throws(ChunkError) -> Bool {
        do throws(DiskError) {
            if isSecond {
                // What the page cache holds may be the damage.
                try volume.store.readDirect(extent.segment, position, into: target)
                return true
            }
            if !mayBlock {
                guard let file = volume.store.segments.openReader(extent.segment) else { return false }
                return try file.readCached(into: target, at: position) == target.count
            }
            let count = try volume.store.segments.reader(extent.segment).read(into: target, at: position)
            if count < target.count { target.zero(count, target.count - count) }
            return true
        } catch {
            throw .disk(error)
        }
    }

    private func verifies(_ bytes: UnsafeRawBufferPointer, _ entry: MapEntry) -> Bool {
        #if DEBUG
            if volume.store.configuration.mutant == .serveUnverified { return true }
        #endif
        return XXH3.hash(bytes, volume.store.secret) & Extent.tagMask == entry.word & Extent.tagMask
    }

    private func damage(_ extent: Extent) -> ChunkError {
        volume.store.counters.checksumFailures.add(1, ordering: .relaxed)
        return .corrupt(segment: extent.segment, offset: Int64(extent.offset))
    }
}

/// Memory for a unit as stored and as it was, kept for the next read.
enum VolumeScratch {
    private static let idle = PosixLocked<[AlignedBuffer]>([])
    private static let byteCount = 2 * Limits.compressionUnitBlocks * Limits.volumeBlockBytes

    static func take() -> AlignedBuffer { idle.withLock { $0.popLast() } ?? AlignedBuffer(byteCount) }
    static func give(_ buffer: AlignedBuffer) {
        idle.withLock { if $0.count < Limits.idleScratchMax { $0.append(buffer) } }
    }
}
