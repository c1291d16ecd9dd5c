import Codecs
import Disks
import Primitives
import Synchronization

/// The bytes of one version, readable to the end whatever happens to its name. One thread at a time.
package final class ObjectReader: @unchecked Sendable {
    // SAFETY: `scratch` and `prefetched` are the only mutable state, and the contract is one thread at a time.
    package let size: Int
    /// Frames of `frameBytes`, the last one shorter. None for an empty body.
    package let frameCount: Int

    private let store: ChunkStore
    private let extents: [Extent]
    private var scratch: AlignedBuffer?
    /// Frames below it have been asked for.
    private var prefetched = 0

    init(store: ChunkStore, size: Int, extents: [Extent]) {
        self.store = store
        self.size = size
        self.extents = extents
        frameCount = extents.count
    }

    /// The raw bytes in a frame.
    package func length(frame: Int) -> Int { min(frameBytes, size - frame * frameBytes) }

    /// Bytes that a frame's buffer needs: whole sectors, at most `frameBytes`.
    package func bufferBytes(frame: Int) -> Int { roundUp(length(frame: frame), to: Limits.sectorBytes) }

    /// Reads and verifies one frame into `buffer` (at least `bufferBytes(frame:)`); returns its length. May block.
    package func read(frame: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Int {
        let extent = extents[frame]
        let target = stored(extent, frame, buffer)
        do throws(DiskError) {
            try prefetch(behind: frame)
            let count = try store.segments.reader(extent.segment).read(into: target, at: Int64(extent.offset))
            if count == target.count, let length = finish(extent, frame, target, buffer) { return length }
            try store.readDirect(extent.segment, Int64(extent.offset), into: target)
        } catch {
            throw .disk(error)
        }
        if let length = finish(extent, frame, target, buffer) { return length }
        store.counters.checksumFailures.add(1, ordering: .relaxed)
        throw .corrupt(segment: extent.segment, offset: Int64(extent.offset))
    }

    /// The same from the page cache only: nil if it would have to wait for the disk, or if the bytes do not
    /// verify (`read` then says why). For event loops.
    package func readCached(frame: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Int? {
        let extent = extents[frame]
        guard let file = store.segments.openReader(extent.segment) else { return nil }
        let target = stored(extent, frame, buffer)
        do throws(DiskError) {
            guard let count = try file.readCached(into: target, at: Int64(extent.offset)), count == target.count else {
                return nil
            }
        } catch {
            return nil  // The blocking read meets the same error and reports it.
        }
        return finish(extent, frame, target, buffer)
    }

    /// Asks for the frames ahead, a window at a time, so that a stream does not wait for the disk at each frame.
    private func prefetch(behind frame: Int) throws(DiskError) {
        let window = Limits.prefetchFrames
        guard extents.count > 1, frame >= prefetched - window / 2 || frame + window < prefetched else { return }
        let end = min(extents.count, frame + window)
        var at = max(frame, min(prefetched, end))
        if frame + window < prefetched { at = frame }
        prefetched = end
        while at < end {
            // Frames of one upload mostly lie side by side: one request for each run.
            let first = extents[at]
            var length = Int(first.storedBytes)
            at += 1
            while at < end, extents[at].segment == first.segment, extents[at].offset >= first.offset,
                Int(extents[at].offset - first.offset) <= length + 2 * GroupLayout.alignment
            {
                length = Int(extents[at].offset - first.offset) + Int(extents[at].storedBytes)
                at += 1
            }
            try store.segments.reader(first.segment).prefetch(Int64(first.offset), length)
        }
    }

    /// Where the stored bytes go: straight to the caller, or to scratch if they must be expanded.
    private func stored(_ extent: Extent, _ frame: Int, _ buffer: UnsafeMutableRawBufferPointer)
        -> UnsafeMutableRawBufferPointer
    {
        precondition(buffer.count >= bufferBytes(frame: frame))
        let count = Int(extent.storedBytes)
        if !extent.isLZ4 && count <= buffer.count { return UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count]) }
        if scratch == nil || scratch!.bytes.count < count { scratch = AlignedBuffer(max(count, min(frameBytes, size))) }
        return scratch!.mutableRange(0, count)
    }

    /// Verifies (I8) and expands; nil if the bytes are not what was written.
    private func finish(
        _ extent: Extent, _ frame: Int, _ target: UnsafeMutableRawBufferPointer, _ buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var verifies = true
        #if DEBUG
            if store.configuration.mutant == .serveUnverified { verifies = false }
        #endif
        if verifies {
            guard XXH3.hash(UnsafeRawBufferPointer(target), store.secret) & Extent.tagMask == extent.tag else {
                return nil
            }
        }
        let length = length(frame: frame)
        if extent.isLZ4 {
            let out = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<length])
            return FrameCodec.expand(UnsafeRawBufferPointer(target), into: out) ? length : nil
        }
        // Raw bytes were read straight into the caller's buffer, or there are more of them than the frame has.
        return target.count >= length && target.baseAddress == buffer.baseAddress ? length : nil
    }

}

extension ChunkStore {
    /// Bytes of a segment past the page cache, in whole blocks.
    func readDirect(
        _ segment: UInt32, _ offset: Int64, into target: UnsafeMutableRawBufferPointer
    ) throws(DiskError) {
        let start = Int(offset) / diskBlockBytes * diskBlockBytes
        let end = roundUp(Int(offset) + target.count, to: diskBlockBytes)
        let buffer = AlignedBuffer(end - start)
        _ = try disk.open(SegmentTable.path(segment), .readDirect).read(into: buffer.bytes, at: Int64(start))
        target.copyMemory(from: buffer.range(Int(offset) - start, target.count))
    }

    /// Opens the bytes of a version; nil when that version has been overwritten or deleted since the row was
    /// read (look the row up again). May wait for the disk.
    package func reader(_ row: ObjectRow) throws(ChunkError) -> ObjectReader? {
        switch row.body {
        case .empty: return ObjectReader(store: self, size: 0, extents: [])
        case .inline(let extent): return ObjectReader(store: self, size: row.size, extents: [extent])
        case .mapped: break
        }
        let frames = (row.size + frameBytes - 1) / frameBytes
        var extents: [Extent] = []
        extents.reserveCapacity(frames)
        var leaf: UInt32 = 0
        while extents.count < frames {
            guard let entries = try leafEntries(LeafKey(owner: row.owner, index: leaf)) else { return nil }
            guard !entries.isEmpty, entries.count % Extent.byteCount == 0 else {
                throw .corruptIndex("a map leaf of \(entries.count) bytes")
            }
            var words = ByteReader(entries)
            while words.remaining > 0 {
                let locator = words.get(UInt64.self)
                let tagged = words.get(UInt64.self)
                guard let extent = Extent(locator: locator, taggedWord: tagged) else {
                    throw .corruptIndex("a map entry that is not understood")
                }
                extents.append(extent)
            }
            leaf += 1
        }
        guard extents.count == frames else { throw .corruptIndex("a map of \(extents.count) frames for \(frames)") }
        return ObjectReader(store: self, size: row.size, extents: extents)
    }

    /// The same for a body whose place is in the row itself: never blocks; nil for all others.
    package func cachedReader(_ row: ObjectRow) -> ObjectReader? {
        switch row.body {
        case .empty: ObjectReader(store: self, size: 0, extents: [])
        case .inline(let extent): ObjectReader(store: self, size: row.size, extents: [extent])
        case .mapped: nil
        }
    }

    private func leafEntries(_ key: LeafKey) throws(ChunkError) -> [UInt8]? {
        if let entries = memoryMutex.withLock({ memory.value.active.leaves[key] ?? memory.value.frozen?.leaves[key] }) {
            return entries
        }
        let indexKey = IndexKey.leaf(key)
        // Leaves move from memory to the index only, and memory was looked at first: if it is not there, it is gone.
        return try indexRow(indexKey).value
    }
}
