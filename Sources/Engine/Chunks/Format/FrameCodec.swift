import Codecs
import Primitives

/// A frame's stored form: whole sectors, compressed if that saves at least an eighth and a sector.
///
/// Raw: the bytes, zero padded. LZ4: compressed length u32, raw length u32, the block, zero padded.
enum FrameCodec {
    static let lz4HeaderBytes = 8
    /// Frames up to here are sampled before they are compressed. Of longer ones a part may shrink and another not.
    static let sampledFrameMax = 16 << 10

    struct Stored {
        var bytes: [UInt8]
        var isLZ4: Bool
        var hash: UInt64
    }

    /// - Precondition: 1 to `frameBytes` bytes.
    static func encode(_ raw: UnsafeRawBufferPointer, _ secret: HashSecret) -> Stored {
        var isLZ4 = false
        let rawStored = roundUp(raw.count, to: Limits.sectorBytes)
        let bytes = [UInt8](unsafeUninitializedCapacity: rawStored) { out, count in
            let target = UnsafeMutableRawBufferPointer(out)
            (count, isLZ4) = encode(raw, into: target)
        }
        return Stored(bytes: bytes, isLZ4: isLZ4, hash: bytes.withUnsafeBytes { XXH3.hash($0, secret) })
    }

    /// The same for bytes that are an array already: those that fill whole sectors and don't compress are not copied.
    static func encode(_ raw: [UInt8], _ secret: HashSecret) -> Stored {
        guard raw.count % Limits.sectorBytes == 0 else { return raw.withUnsafeBytes { encode($0, secret) } }
        let stored = raw.withUnsafeBytes { bytes -> [UInt8]? in
            let space = scratch.withLock { $0.popLast() } ?? AlignedBuffer(frameBytes)
            defer { scratch.withLock { if $0.count < Limits.idleScratchMax { $0.append(space) } } }
            let (count, isLZ4) = encode(bytes, into: space.bytes, copiesRaw: false)
            return isLZ4 ? [UInt8](space.range(0, count)) : nil
        }
        let bytes = stored ?? raw
        return Stored(
            bytes: bytes, isLZ4: stored != nil, hash: bytes.withUnsafeBytes { XXH3.hash($0, secret) })
    }

    private static let scratch = PosixLocked<[AlignedBuffer]>([])

    /// Writes the stored form into `target` (room for the raw size in whole sectors); its size and kind.
    static func encode(
        _ raw: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, copiesRaw: Bool = true
    ) -> (count: Int, isLZ4: Bool) {
        let rawStored = roundUp(raw.count, to: Limits.sectorBytes)
        precondition(raw.count > 0 && raw.count <= frameBytes && target.count >= rawStored)
        // What lz4 may use so that an eighth and a whole sector are saved.
        let most = min(raw.count / 8 * 7, rawStored - Limits.sectorBytes) - lz4HeaderBytes
        if most > 0, raw.count > sampledFrameMax || LZ4.mayShrink(raw),
            let compressed = LZ4.compress(
                raw, into: UnsafeMutableRawBufferPointer(rebasing: target[lz4HeaderBytes..<lz4HeaderBytes + most]))
        {
            target.set(UInt32(compressed), at: 0)
            target.set(UInt32(raw.count), at: 4)
            let count = roundUp(lz4HeaderBytes + compressed, to: Limits.sectorBytes)
            target.zero(lz4HeaderBytes + compressed, count - lz4HeaderBytes - compressed)
            return (count, true)
        }
        guard copiesRaw else { return (rawStored, false) }
        target.copy(raw, at: 0)
        target.zero(raw.count, rawStored - raw.count)
        return (rawStored, false)
    }

    /// What a verified lz4 extent says its raw length is.
    static func rawLength(_ stored: UnsafeRawBufferPointer) -> Int? {
        stored.count >= lz4HeaderBytes ? Int(stored.u32(4)) : nil
    }

    /// Expands a verified lz4 extent into `target`, which must be exactly the raw length; false if it is not valid.
    static func expand(_ stored: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
        guard stored.count >= lz4HeaderBytes else { return false }
        let compressed = Int(stored.u32(0))
        guard compressed <= stored.count - lz4HeaderBytes, Int(stored.u32(4)) == target.count else { return false }
        return LZ4.decompress(
            UnsafeRawBufferPointer(rebasing: stored[lz4HeaderBytes..<lz4HeaderBytes + compressed]), into: target)
    }
}
