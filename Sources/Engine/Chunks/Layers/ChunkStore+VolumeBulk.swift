import Codecs
import Disks
import Primitives
private import Synchronization

extension ChunkStore {
    /// Blocks of a volume that go to an L segment as one group.
    var bulkBlocksMax: Int {
        min(Limits.volumeBulkGroupBytes, segments.segmentBytes / 4) / Limits.volumeBlockBytes
    }

    /// Writes encoded blocks as a group of an L segment; their entries, with their places. Not synced yet.
    func writeBulk(
        _ blocks: EncodedBlocks, owner: UInt64, firstBlock: UInt64, touched: inout [BulkSegment]
    ) throws(ChunkError) -> [MapEntry] {
        guard !blocks.payload.isEmpty else { return blocks.entries }
        if let reason = readOnlyReason { throw .readOnly(reason) }
        let extents = distinctExtents(blocks.entries)
        let metaBytes = GroupLayout.headerBytes + extents.count * GroupLayout.descriptorBytes
        let payloadAt = roundUp(metaBytes, to: Limits.sectorBytes)
        let total = roundUp(payloadAt + blocks.payload.count, to: GroupLayout.alignment)
        let group = AlignedBuffer(total)
        group.bytes.zero(0, payloadAt)
        blocks.payload.withUnsafeBytes { payload in
            group.bytes.copy(payload, at: payloadAt)
            for (index, (extent, at)) in extents.enumerated() {
                let bytes = UnsafeRawBufferPointer(
                    rebasing: payload[Int(extent.offset)..<Int(extent.offset) + Int(extent.storedBytes)])
                describe(
                    group, index, extent, owner: owner, logical: firstBlock + UInt64(at), payloadAt: payloadAt,
                    hash: XXH3.hash(bytes, secret))
            }
        }
        group.bytes.zero(payloadAt + blocks.payload.count, total - payloadAt - blocks.payload.count)
        do throws(DiskError) {
            let (segment, offset) = try bulk.reserve(total)
            GroupHeader.writeBulk(
                group.bytes, total: total, metaBytes: metaBytes, count: extents.count, segment: segment.id,
                offset: offset, secret)
            try segment.write(group.range(0, total), at: offset)
            if !touched.contains(where: { $0 === segment }) { touched.append(segment) }
            memoryMutex.withLock { memory.value.bytesStored += Int64(total) }
            let base = UInt32(offset + payloadAt)
            return blocks.entries.map { $0.placed(segment: segment.id, base: base) }
        } catch {
            if !error.isNoSpace { becomeReadOnly(.ioError(error)) }
            throw error.isNoSpace ? .noSpace : .disk(error)
        }
    }

    func syncBulk(_ touched: [BulkSegment]) throws(ChunkError) {
        #if DEBUG
            if configuration.mutant == .skipBulkSync { return }
        #endif
        do throws(DiskError) {
            for segment in touched { try segment.sync() }
        } catch {
            becomeReadOnly(.ioError(error))
            throw .disk(error)
        }
    }

    /// Each extent once, with the number of its first block.
    private func distinctExtents(_ entries: [MapEntry]) -> [(Extent, Int)] {
        var out: [(Extent, Int)] = []
        for (at, entry) in entries.enumerated() {
            guard let extent = entry.extent, out.last?.0.offset != extent.offset else { continue }
            out.append((extent, at))
        }
        return out
    }

    private func describe(
        _ group: AlignedBuffer, _ index: Int, _ extent: Extent, owner: UInt64, logical: UInt64, payloadAt: Int,
        hash: UInt64
    ) {
        let at = GroupLayout.headerBytes + index * GroupLayout.descriptorBytes
        let out = group.bytes
        out[at] = RecordType.frame.rawValue
        out[at + 1] = extent.isLZ4 ? GroupEntry.lz4Flag : 0
        out.set(extent.storedBytes, at: at + 16)
        out.set(UInt32(payloadAt) + extent.offset, at: at + 20)
        out.set(owner, at: at + 24)
        out.set(logical, at: at + 32)
        out.set(hash, at: at + 40)
    }
}
