import Codecs
import Primitives

/// Blocks of a volume on their way to the log: their stored form, and map entries that name places in it.
struct EncodedBlocks: Sendable {
    /// Whole sectors. Empty when all blocks are zeros.
    var payload: [UInt8] = []
    /// One for each block; their extents have segment 0 and offsets within `payload`.
    var entries: [MapEntry] = []
    /// XXH3 over the payload.
    var payloadHash: UInt64 = 0

    fileprivate static let blockBytes = Limits.volumeBlockBytes

    /// Blocks of zeros become entries without bytes. The others are compressed in units of `Limits.compressionUnitBlocks`,
    /// aligned in the volume, where that pays; runs of those where it doesn't are one extent, at most
    /// `Limits.extentBlocksMax` blocks long and within one leaf.
    ///
    /// - Precondition: whole blocks.
    init(_ bytes: UnsafeRawBufferPointer, firstBlock: UInt64, _ secret: HashSecret) {
        precondition(bytes.count % Self.blockBytes == 0)
        let count = bytes.count / Self.blockBytes
        var entries: [MapEntry] = []
        entries.reserveCapacity(count)
        var onlyTag: UInt64?
        payload = [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, used in
            let out = UnsafeMutableRawBufferPointer(buffer)
            var writer = Writer(bytes: bytes, out: out, firstBlock: firstBlock, secret: secret)
            writer.run(count, &entries)
            used = writer.used
            onlyTag = writer.hashOfAll
        }
        self.entries = entries
        payloadHash = onlyTag ?? payload.withUnsafeBytes { XXH3.hash($0, secret) }
    }

    private struct Writer {
        private var blockBytes: Int { EncodedBlocks.blockBytes }
        let bytes: UnsafeRawBufferPointer
        let out: UnsafeMutableRawBufferPointer
        let firstBlock: UInt64
        let secret: HashSecret
        var used = 0
        /// The hash of the one extent's one hashed piece, when that is all there is.
        var hashOfAll: UInt64?
        /// Raw blocks that wait to become an extent: where they lie in `out`, and their hashes.
        private var rawStart = 0
        private var rawTags: [UInt64] = []

        init(
            bytes: UnsafeRawBufferPointer, out: UnsafeMutableRawBufferPointer, firstBlock: UInt64, secret: HashSecret
        ) {
            self.bytes = bytes
            self.out = out
            self.firstBlock = firstBlock
            self.secret = secret
        }

        mutating func run(_ count: Int, _ entries: inout [MapEntry]) {
            var at = 0
            var pieces = 0
            while at < count {
                let block = firstBlock + UInt64(at)
                if block % UInt64(Leaf.blocks) == 0 { finishRaw(&entries) }
                if isZero(at) {
                    finishRaw(&entries)
                    entries.append(.zero)
                    at += 1
                    continue
                }
                // The rest of the unit, up to its first block of zeros.
                let unit = Limits.compressionUnitBlocks
                let most = min(count - at, unit - Int(block % UInt64(unit)))
                var length = 1
                while length < most, !isZero(at + length) { length += 1 }
                let raw = UnsafeRawBufferPointer(
                    rebasing: bytes[at * blockBytes..<(at + length) * blockBytes])
                let target = UnsafeMutableRawBufferPointer(rebasing: out[used..<out.count])
                let (stored, isLZ4) = FrameCodec.encode(raw, into: target, copiesRaw: false)
                if isLZ4 {
                    finishRaw(&entries)
                    let hash = XXH3.hash(UnsafeRawBufferPointer(rebasing: out[used..<used + stored]), secret)
                    let extent = Extent(
                        segment: 0, offset: UInt32(used), storedBytes: UInt32(stored), isLZ4: true, tag: hash)
                    for i in 0..<length { entries.append(MapEntry(extent, block: i)) }
                    used += stored
                    pieces += 1
                    hashOfAll = pieces == 1 ? hash : nil
                } else {
                    for i in 0..<length {
                        if rawTags.count == Limits.extentBlocksMax { finishRaw(&entries) }
                        if rawTags.isEmpty { rawStart = used }
                        let one = UnsafeRawBufferPointer(rebasing: raw[i * blockBytes..<(i + 1) * blockBytes])
                        out.copy(one, at: used)
                        let hash = XXH3.hash(one, secret)
                        rawTags.append(hash)
                        used += blockBytes
                        pieces += 1
                        hashOfAll = pieces == 1 ? hash : nil
                    }
                }
                at += length
            }
            finishRaw(&entries)
        }

        private mutating func finishRaw(_ entries: inout [MapEntry]) {
            guard !rawTags.isEmpty else { return }
            for (i, tag) in rawTags.enumerated() {
                let extent = Extent(
                    segment: 0, offset: UInt32(rawStart), storedBytes: UInt32(rawTags.count * blockBytes),
                    isLZ4: false, tag: tag)
                entries.append(MapEntry(extent, block: i))
            }
            rawTags.removeAll(keepingCapacity: true)
        }

        private func isZero(_ at: Int) -> Bool {
            let words = UnsafeRawBufferPointer(rebasing: bytes[at * blockBytes..<(at + 1) * blockBytes])
            return words.isAllZero
        }
    }
}

extension UnsafeRawBufferPointer {
    /// - Precondition: a multiple of 64 bytes.
    var isAllZero: Bool {
        var at = 0
        while at < count {
            var any: UInt64 = 0
            for i in 0..<8 { any |= loadUnaligned(fromByteOffset: at + 8 * i, as: UInt64.self) }
            if any != 0 { return false }
            at += 64
        }
        return true
    }
}
