import BlockDevices
import Primitives

/// One command under way: what it is, where its data goes, and how it is told to be done. Extensions in `Commands/` hold
/// what the commands do.
struct Exchange: Sendable {
    let unit: LogicalUnit
    let nexus: LogicalUnitNexus
    let cdb: CDB
    let command: SCSICommand
    let dataIn: any DataInBuffer
    let sink: any CompletionSink
    let completion: @Sendable (SCSIResponse) -> Void

    /// What a step answers: done, or under way.
    struct Done { var response: SCSIResponse? }

    var device: any BlockDevice { unit.device }

    // MARK: - Answers

    /// A failed command leaves no residual of what it was sent: all of it arrived.
    func fail(_ sense: Sense, dataOut: Int? = nil) -> SCSIResponse {
        unit.failure(sense, dataOut: dataOut ?? command.dataOutExpected)
    }

    func fail(_ error: BlockError, dataOut: Int? = nil) -> SCSIResponse {
        unit.failure(error, dataOut: dataOut ?? command.dataOutExpected)
    }

    func good(dataOut: Int = 0) -> SCSIResponse { SCSIResponse(status: .good, dataOutCount: dataOut) }

    func done(_ result: Result<Void, BlockError>, dataOut: Int) -> SCSIResponse {
        unit.answer(result, dataOut: dataOut)
    }

    var conflict: SCSIResponse {
        SCSIResponse(status: .reservationConflict, dataOutCount: command.dataOutExpected)
    }

    /// Data-in, cut at the allocation length (SPC-4 4.2.5.6): that is no error.
    func reply(_ bytes: [UInt8], allocation: Int) -> SCSIResponse {
        let count = min(bytes.count, allocation)
        guard count > 0 else { return good() }
        let memory = dataIn.reserve(count)
        bytes.withUnsafeBytes { memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        return SCSIResponse(status: .good, dataInCount: count)
    }

    // MARK: - Threads

    /// Tells the end of a command that has waited.
    func finish(_ response: SCSIResponse) { sink.wake([{ [completion] in completion(response) }]) }

    /// Does what may wait on a thread of the pool; the initiator is told BUSY when too much does.
    func offload(_ work: @escaping @Sendable () -> SCSIResponse?) -> SCSIResponse? {
        let admitted = unit.threads.run { if let response = work() { finish(response) } }
        return admitted ? nil : SCSIResponse(status: .busy, dataOutCount: command.dataOutExpected)
    }

    /// The next step of what `offload` or a completion began.
    func resume(_ work: @escaping @Sendable () -> SCSIResponse?) {
        unit.threads.resume { if let response = work() { finish(response) } }
    }

    /// Walks a range in steps of the device's, one after the other, and no thread waits in between. `last` runs where the
    /// steps' completions do. A command that was given up ends behind the step that is under way.
    func inSteps(
        _ range: BlockRange, of stepBytes: Int,
        step: @escaping @Sendable (BlockRange, @escaping BlockCompletion) -> Void, last: @escaping BlockCompletion
    ) {
        guard range.count > 0 else { return last(.success(())) }
        let piece = BlockRange(offset: range.offset, count: min(range.count, UInt64(stepBytes)))
        let rest = BlockRange(offset: piece.end, count: range.count - piece.count)
        step(piece) { result in
            guard case .success = result, rest.count > 0, !dataIn.isGivenUp else { return last(result) }
            inSteps(rest, of: stepBytes, step: step, last: last)
        }
    }

    // MARK: - Parameters

    /// The parameter list that came with the command; `length` is from the CDB, and bounded by whoever calls.
    func parameters(_ dataOut: UnsafeRawBufferPointer, length: Int) throws(Sense) -> [UInt8] {
        guard dataOut.count >= length else { throw .dataTooShort }
        return [UInt8](UnsafeRawBufferPointer(rebasing: dataOut[..<length]))
    }

    // MARK: - Rules

    /// SPC-4 5.14.2: what goes on in spite of a unit attention, and leaves it pending.
    var ignoresAttention: Bool { [0x03, 0x12, 0xA0].contains(cdb.operationCode) }

    /// An unknown service action of a known operation code is an invalid field, and there is where it stands.
    var unknownCommand: Sense {
        let isThin = device.geometry.isThin
        guard let known = Command.named(cdb.operationCode).first, isThin || !known.needsThin else {
            return .invalidOperationCode
        }
        return .field(1, bit: 4)
    }

    /// START STOP UNIT that starts goes on where one that stops does not (SBC-3 table 10).
    func access(of command: Command) -> Command.Access {
        command.code == 0x1B && cdb.bit(4, 0) && cdb[4] >> 4 == 0 ? .free : command.access
    }
}

/// Memory that crosses to another thread.
struct SharedMemory: @unchecked Sendable {
    // SAFETY: the transport's, for this command alone, valid until it has completed; one thread at a time fills it.
    let bytes: UnsafeMutableRawBufferPointer
}

extension BlockGeometry {
    /// The most that one command transfers.
    var transferMax: UInt64 { UInt64(min(Int(transferBytesMax), SCSILimits.dataInBytesMax)) }

    /// Where an extent lies in bytes; both ends are checked before anything is multiplied.
    func range(of extent: Extent) throws(Sense) -> BlockRange {
        guard extent.lba <= blockCount, extent.blocks <= blockCount - extent.lba else { throw .outOfRange }
        let block = UInt64(logicalBlockBytes)
        return BlockRange(offset: extent.lba * block, count: extent.blocks * block)
    }

    /// The same, of no more than one command transfers.
    func transfer(of extent: Extent) throws(Sense) -> BlockRange {
        let range = try range(of: extent)
        guard range.count <= transferMax else { throw .field(extent.lengthByte) }
        return range
    }
}

extension BlockDevice {
    /// Fills the first `count` bytes of an array. May wait for a disk.
    func read(at offset: UInt64, _ count: Int, into buffer: inout [UInt8]) throws(BlockError) {
        // `withUnsafeMutableBytes` of an array does not pass typed errors on.
        var failure: BlockError?
        buffer.withUnsafeMutableBytes { memory in
            do throws(BlockError) {
                try read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
            } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

// For completions that need nothing else of their exchange: what they hold is counted, reference by reference.
extension LogicalUnit {
    func answer(_ result: Result<Void, BlockError>, dataOut: Int) -> SCSIResponse {
        switch result {
        case .success: SCSIResponse(status: .good, dataOutCount: dataOut)
        case .failure(let error): failure(error, dataOut: dataOut)
        }
    }

    fileprivate func failure(_ error: BlockError, dataOut: Int) -> SCSIResponse {
        guard let sense = Sense.of(error, blockBytes: device.geometry.logicalBlockBytes) else {
            return SCSIResponse(status: .busy, dataOutCount: dataOut)
        }
        return failure(sense, dataOut: dataOut)
    }

    fileprivate func failure(_ sense: Sense, dataOut: Int) -> SCSIResponse {
        SCSIResponse(
            status: .checkCondition, sense: sense.bytes(descriptor: mode.contains(.descriptorSense)),
            dataOutCount: dataOut)
    }
}
