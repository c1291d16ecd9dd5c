import BlockDevices
import Primitives

// EXTENDED COPY and RECEIVE COPY RESULTS (SPC-4 6.4, 6.18, 6.19), and the VPD page that tells of them (7.8.17).
extension Exchange {
    func extendedCopy(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        let length = Int(cdb.uint32(10))
        guard length > 0 else { return good() }
        guard length <= CopyList.headerCount + 2 * SCSILimits.copyListBytesMax else { throw .parameterListLength }
        let list = try CopyList(try parameters(dataOut, length: length), names: ownDesignators)
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let job = CopyJob(exchange: self, list: list, dataOut: length)
        return offload { job.next() }
    }

    /// What a CSCD descriptor may call this logical unit, byte for byte as VPD page 83h does.
    private var ownDesignators: [[UInt8]] {
        let naa = unit.identity.naa
        let vendor = unit.identity.vendorBytes + unit.identity.serialBytes
        return [[0x01, 0x03, 0, UInt8(naa.count)] + naa, [0x02, 0x01, 0, UInt8(vendor.count)] + vendor]
    }

    /// COPY STATUS of a copy of this nexus; once told that it is over, it is forgotten.
    func copyStatus() throws(Sense) -> SCSIResponse {
        let identifier = cdb[2]
        let allocation = Int(cdb.uint32(10))
        let result = nexus.copyResults.withLock { $0[identifier] }
        guard let result else { throw .field(2) }
        var bytes: [UInt8] = []
        bytes.put32(8)
        bytes.append(result.isComplete ? 0x01 : 0x02)
        bytes.put16(result.segments)
        // TRANSFER COUNT UNITS: bytes, or kibibytes where those don't fit.
        let inBytes = result.bytes <= UInt64(UInt32.max)
        bytes.append(inBytes ? 0 : 1)
        bytes.put32(UInt32(clamping: inBytes ? result.bytes : result.bytes >> 10))
        if allocation >= bytes.count {
            nexus.copyResults.withLock { $0[identifier] = nil }
        }
        return reply(bytes, allocation: allocation)
    }

    func copyOperatingParameters() -> SCSIResponse {
        var bytes = [UInt8](repeating: 0, count: 44)
        bytes[4] = 0x01  // SNLID: a list without an identifier will do.
        bytes.set16(8, UInt16(SCSILimits.copyTargetsMax))
        bytes.set16(10, UInt16(SCSILimits.copySegmentsMax))
        bytes.set32(12, UInt32(SCSILimits.copyListBytesMax))
        bytes.set32(16, SCSILimits.copySegmentBytesMax)
        // No inline data, no held data, no streams.
        bytes.set16(34, UInt16(SCSILimits.copyResultsMax))
        bytes[36] = UInt8(SCSILimits.copyResultsMax)
        bytes[37] = UInt8(Int(device.geometry.logicalBlockBytes).trailingZeroBitCount)
        bytes[43] = UInt8(CopyList.implementedCodes.count)
        bytes += CopyList.implementedCodes
        bytes.set32(0, UInt32(bytes.count - 4))
        return reply(bytes, allocation: Int(cdb.uint32(10)))
    }

    /// Third-party Copy: commands, limits, descriptors, and that copies are within one logical unit.
    static let thirdPartyCopy: [UInt8] = {
        var page: [UInt8] = []
        func add(_ code: UInt16, _ content: [UInt8]) {
            let padding = [UInt8](repeating: 0, count: (4 - content.count % 4) % 4)
            page.put16(code)
            page.put16(UInt16(content.count + padding.count))
            page += content + padding
        }
        // Supported commands: a length, then operation code, number of service actions, service actions.
        add(0x0001, [0x07, 0x83, 0x01, 0x00, 0x84, 0x02, 0x00, 0x03])
        var parameters: [UInt8] = [0, 0, 0, 0]
        parameters.put16(UInt16(SCSILimits.copyTargetsMax))
        parameters.put16(UInt16(SCSILimits.copySegmentsMax))
        parameters.put32(UInt32(SCSILimits.copyListBytesMax))
        parameters.put32(0)
        parameters += [UInt8](repeating: 0, count: 12)
        add(0x0004, parameters)
        var codes: [UInt8] = []
        codes.put16(UInt16(CopyList.implementedCodes.count))
        add(0x0008, codes + CopyList.implementedCodes)
        // General copy operations: concurrent copies, segment size, granularity.
        var general: [UInt8] = []
        general.put32(UInt32(SCSILimits.copyResultsMax))
        general.put32(UInt32(SCSILimits.copyResultsMax))
        general.put32(SCSILimits.copySegmentBytesMax)
        general += [9, 0] + [UInt8](repeating: 0, count: 18)
        add(0x8001, general)
        return page
    }()
}

/// One EXTENDED COPY under way: reads a step on a thread of the pool, writes it, and goes on when that is done.
final class CopyJob: Sendable {
    private struct Position {
        var segment = 0
        var done: UInt64 = 0
        var bytes: UInt64 = 0
    }

    private let exchange: Exchange
    private let list: CopyList
    private let dataOut: Int
    private let position = PosixLocked(Position())

    init(exchange: Exchange, list: CopyList, dataOut: Int) {
        self.exchange = exchange
        self.list = list
        self.dataOut = dataOut
    }

    /// The next step; may wait for a disk. An answer when it was the last.
    func next() -> SCSIResponse? {
        var now = position.withLock { $0 }
        while now.segment < list.segments.count {
            // Gibibytes may be left, and an abort, a reset or a detach waits for the end of this.
            guard !exchange.dataIn.isGivenUp else { return end(.copyFailed) }
            let segment = list.segments[now.segment]
            guard isReachable(segment.source), isReachable(segment.target) else { return end(.unreachableCopyTarget) }
            guard let ranges = segment.ranges(exchange.device.geometry) else { return end(.copyFailed) }
            guard now.done < ranges.source.count else {
                now.segment += 1
                now.done = 0
                position.withLock { [now] in $0 = now }
                continue
            }
            return step(ranges.source, ranges.target, now)
        }
        return end(nil)
    }

    private func isReachable(_ index: UInt16) -> Bool {
        Int(index) < list.reachable.count && list.reachable[Int(index)]
    }

    private func step(_ source: BlockRange, _ target: BlockRange, _ now: Position) -> SCSIResponse? {
        let count = min(source.count - now.done, UInt64(SCSILimits.stepBytes), exchange.device.geometry.transferMax)
        // A copy onto a later part of itself goes from the end to the start, so that it reads nothing it has written.
        let isBackwards = target.offset > source.offset && target.offset < source.end
        let at = isBackwards ? source.count - now.done - count : now.done
        var buffer = [UInt8](repeating: 0, count: Int(count))
        do throws(BlockError) {
            try exchange.device.read(at: source.offset + at, buffer.count, into: &buffer)
        } catch {
            return end(failed(error))
        }
        let completion: BlockCompletion = { [self] result in
            switch result {
            case .success:
                position.withLock {
                    $0.done += count
                    $0.bytes += count
                }
                exchange.resume { [self] in next() }
            case .failure(let error): exchange.resume { [self] in end(failed(error)) }
            }
        }
        let piece = BlockRange(offset: target.offset + at, count: count)
        if buffer.allSatisfy({ $0 == 0 }) {
            exchange.device.writeZeroes(
                piece, deallocates: true, durability: .device, sink: exchange.sink, completion: completion)
        } else {
            buffer.withUnsafeBytes {
                exchange.device.write(
                    $0, at: piece.offset, durability: .device, sink: exchange.sink, completion: completion)
            }
        }
        return nil
    }

    /// SPC-4 6.4.3: a segment that fails is COPY ABORTED, whatever it was; a full or protected disk is told as such, since a
    /// host has to know.
    private func failed(_ error: BlockError) -> Sense {
        switch error {
        case .noSpace, .readOnly, .gone:
            Sense.of(error, blockBytes: exchange.device.geometry.logicalBlockBytes) ?? .copyFailed
        case .outOfRange, .unreadable, .writeFailed, .overloaded: .copyFailed
        }
    }

    private func end(_ sense: Sense?) -> SCSIResponse {
        let now = position.withLock { $0 }
        let result = CopyResult(isComplete: sense == nil, segments: UInt16(now.segment), bytes: now.bytes)
        let nexus = exchange.nexus
        nexus.copyResults.withLock { results in
            // A new copy of the same identifier takes the place of the old one's result.
            results[list.identifier] = nil
            guard list.usage == .hold || list.usage == .discard && sense != nil else { return }
            // Room is made by forgetting any other (SPC-4 6.18.2 allows it).
            if results.count >= SCSILimits.copyResultsMax, let other = results.keys.first { results[other] = nil }
            results[list.identifier] = result
        }
        return sense.map { exchange.fail($0, dataOut: dataOut) } ?? exchange.good(dataOut: dataOut)
    }
}
