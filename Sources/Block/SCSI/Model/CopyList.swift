import BlockDevices

/// The parameter list of EXTENDED COPY with a one-byte list identifier (SPC-4 6.4), taken apart and checked.
///
/// CSCD descriptors are identification descriptors (E4h); segments are block to block, counted in blocks (02h) or in bytes
/// (0Ah). The checks come in the order in which SPC-4 and its clients want to hear of what is wrong.
struct CopyList: Sendable {
    struct Segment: Sendable, Hashable {
        /// Indexes of CSCD descriptors.
        var source: UInt16
        var target: UInt16
        var amount: Amount
        var sourceLBA: UInt64
        var targetLBA: UInt64
    }

    enum Amount: Sendable, Hashable {
        case blocks(UInt64)
        case bytes(UInt64, sourceOffset: UInt64, targetOffset: UInt64)
    }

    /// LIST ID USAGE (SPC-4 table 110).
    enum Usage: UInt8, Sendable {
        /// The result is kept for RECEIVE COPY RESULTS.
        case hold = 0
        /// Only a failure is.
        case discard = 2
        /// There is no identifier.
        case none = 3
    }

    static let headerCount = 16
    private static let targetCode: UInt8 = 0xE4
    private static let targetCount = 32
    /// By DESCRIPTOR TYPE CODE.
    private static let segmentCounts: [UInt8: Int] = [0x02: 28, 0x0A: 32]
    static let implementedCodes: [UInt8] = [0x02, 0x0A, 0xE4]

    let identifier: UInt8
    let usage: Usage
    /// For each CSCD descriptor, whether it names this logical unit: the only one there is to copy between.
    let reachable: [Bool]
    let segments: [Segment]

    init(_ list: [UInt8], names: [[UInt8]]) throws(Sense) {
        guard list.count >= Self.headerCount else { throw .parameterListLength }
        identifier = list[0]
        guard let usage = Usage(rawValue: list[1] >> 3 & 0x03) else { throw .parameter(1, bit: 4) }
        guard usage != .none || identifier == 0 else { throw .parameter(0) }
        self.usage = usage
        let targetBytes = Int(list.get16(2))
        let segmentBytes = Int(list.get32(8))
        guard targetBytes + segmentBytes <= SCSILimits.copyListBytesMax else { throw .parameterListLength }
        guard list.get32(12) == 0 else { throw .inlineDataTooLong }
        guard Self.headerCount + targetBytes + segmentBytes <= list.count else { throw .parameterListLength }
        let targets = Array(list[Self.headerCount..<Self.headerCount + targetBytes])
        let segments = Array(list[(Self.headerCount + targetBytes)..<(Self.headerCount + targetBytes + segmentBytes)])
        reachable = try Self.targets(targets, names: names)
        self.segments = try Self.segments(segments, at: Self.headerCount + targetBytes)
    }

    private static func targets(_ bytes: [UInt8], names: [[UInt8]]) throws(Sense) -> [Bool] {
        var reachable: [Bool] = []
        var position = 0
        while position < bytes.count {
            guard bytes[position] == targetCode else { throw .unsupportedTarget }
            guard position + targetCount <= bytes.count else { throw .parameterListLength }
            guard reachable.count < SCSILimits.copyTargetsMax else { throw .tooManyTargets }
            // Code set, association and type, a reserved byte, length, designator: as in VPD page 83h.
            let count = Int(bytes[position + 7])
            guard count <= 20 else { throw .parameter(headerCount + position + 7) }
            let designator = Array(bytes[position + 4..<position + 8 + count])
            reachable.append(names.contains(designator))
            position += targetCount
        }
        return reachable
    }

    private static func segments(_ bytes: [UInt8], at start: Int) throws(Sense) -> [Segment] {
        var segments: [Segment] = []
        var position = 0
        while position < bytes.count {
            guard let count = segmentCounts[bytes[position]] else { throw .unsupportedSegment }
            guard position + count <= bytes.count else { throw .parameterListLength }
            guard segments.count < SCSILimits.copySegmentsMax else { throw .tooManySegments }
            let segment = Array(bytes[position..<position + count])
            guard Int(segment.get16(2)) == count - 4 else { throw .parameter(start + position + 2) }
            let amount: Amount =
                segment[0] == 0x02
                ? .blocks(UInt64(segment.get16(10)))
                : .bytes(
                    UInt64(segment.get32(8)), sourceOffset: UInt64(segment.get16(28)),
                    targetOffset: UInt64(segment.get16(30)))
            segments.append(
                Segment(
                    source: segment.get16(4), target: segment.get16(6), amount: amount, sourceLBA: segment.get64(12),
                    targetLBA: segment.get64(20)))
            position += count
        }
        return segments
    }
}

extension CopyList.Segment {
    /// Where the segment's bytes are and go, checked against the size; nil: not in whole blocks, or not on the disk.
    func ranges(_ geometry: BlockGeometry) -> (source: BlockRange, target: BlockRange)? {
        let block = UInt64(geometry.logicalBlockBytes)
        let blocks: UInt64
        switch amount {
        case .blocks(let count): blocks = count
        case .bytes(let count, let sourceOffset, let targetOffset):
            guard count % block == 0, sourceOffset == 0, targetOffset == 0 else { return nil }
            blocks = count / block
        }
        guard blocks * block <= UInt64(SCSILimits.copySegmentBytesMax) else { return nil }
        do throws(Sense) {
            return (
                try geometry.range(of: Extent(lba: sourceLBA, blocks: blocks, lengthByte: 0)),
                try geometry.range(of: Extent(lba: targetLBA, blocks: blocks, lengthByte: 0))
            )
        } catch { return nil }
    }
}

/// How a copy ended, for RECEIVE COPY RESULTS.
struct CopyResult: Sendable, Hashable {
    var isComplete: Bool
    var segments: UInt16
    /// Bytes written.
    var bytes: UInt64
}
