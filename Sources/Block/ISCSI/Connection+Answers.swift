import SCSI

// What a command's initiator gets: Data-In, residuals, status (RFC 7143 11.4, 11.7).

extension Connection {
    /// Faults of the transport that end a command (RFC 7143 11.4.7.2), as ASC and ASCQ.
    enum TransportFault {
        case unexpectedData, wrongAmount, outOfSequence, tooLong

        var sense: [UInt8] {
            switch self {
            case .unexpectedData: Sense.fixed(key: 0x0b, 0x0c, 0x0c)
            case .wrongAmount: Sense.fixed(key: 0x0b, 0x0c, 0x0d)
            // "Protocol service CRC error": data that was lost on the way, however.
            case .outOfSequence: Sense.fixed(key: 0x0b, 0x47, 0x05)
            case .tooLong: Sense.fixed(key: 0x05, 0x24, 0x00)
            }
        }
    }

    /// Ends a command that never reached the SCSI layer.
    func answerFailure(_ task: SCSITask, _ fault: TransportFault, isFinal: Bool) {
        if !isFinal { forget(task.tag) }
        answer(task, SCSIResponse(status: .checkCondition, sense: fault.sense))
        recycle(task)
    }

    private struct Residual {
        var flags: UInt8 = 0
        var count: UInt32 = 0

        static let overflow: UInt8 = 0x04
        static let underflow: UInt8 = 0x02

        init(_ task: SCSITask, _ response: SCSIResponse) {
            let actual: Int
            if task.reads {
                actual = response.dataInCount
            } else if task.writes {
                // A command that failed took what it was sent; how much of it counts, the sense data says.
                if response.status != .good, response.dataOutCount == 0 { return }
                actual = response.dataOutCount
            } else {
                actual = max(response.dataInCount, response.dataOutCount)
            }
            if actual > task.expected {
                flags = Self.overflow
                count = UInt32(clamping: actual - task.expected)
            } else if actual < task.expected {
                flags = Self.underflow
                count = UInt32(clamping: task.expected - actual)
            }
        }
    }

    func answer(_ task: SCSITask, _ response: SCSIResponse) {
        if response.status == .checkCondition { counted.checkConditions += 1 }
        let residual = Residual(task, response)
        let dataBytes = task.reads ? min(response.dataInCount, task.expected) : 0
        guard dataBytes > 0, let data = task.reserved else {
            return sendStatus(task, response, residual, dataNumber: task.nextR2TNumber)
        }
        if let place = task.inlineHeader, dataBytes <= task.inlineBytes, response.status == .good,
            dataBytes <= parameters.peerDataSegmentBytes, dataBytes <= parameters.maxBurstBytes
        {
            sendInline(task, place, dataBytes, residual)
        } else if let owner = task.foreignData ?? task.inlineOwner {
            let number = sendPieces(task, data, dataBytes, owner, response, residual)
            if response.status != .good { sendStatus(task, response, residual, dataNumber: number) }
        } else {
            // Laid down in the send block and not to be sent as one PDU: its header's place is used by the next PDU, so the data
            // moves away first. Only a failed command with data comes here.
            let moved = pool.take(dataBytes)
            moved.base.copyMemory(from: data, byteCount: dataBytes)
            let number = sendPieces(task, moved.base, dataBytes, moved, response, residual)
            if response.status != .good { sendStatus(task, response, residual, dataNumber: number) }
        }
    }

    /// The usual read: header, data and good status in one piece of memory, sent as it lies.
    private func sendInline(_ task: SCSITask, _ place: UnsafeMutableRawPointer, _ count: Int, _ residual: Residual) {
        let header = HeaderWriter(place, opcode: Opcode.dataIn, flags: 0x81 | residual.flags)
        fillDataIn(header, task, number: 0, offset: 0, count: count)
        stampStatus(header)
        header.put(word: residual.count, at: 44)
        let start = sealHeader(place)
        let total = start + sealData(place + start, count)
        if let owner = task.inlineOwner {
            output.append(UnsafeRawPointer(place), total, owner: owner)
        } else {
            output.commit(total)
        }
    }

    /// Data in PDUs of at most what the initiator takes, in sequences of at most a burst. Answers how many there were.
    private func sendPieces(
        _ task: SCSITask, _ data: UnsafeMutableRawPointer, _ count: Int, _ owner: Buffer, _ response: SCSIResponse,
        _ residual: Residual
    ) -> UInt32 {
        var number: UInt32 = 0
        var offset = 0
        var burstLeft = parameters.maxBurstBytes
        while offset < count {
            let piece = min(count - offset, parameters.peerDataSegmentBytes, burstLeft)
            burstLeft -= piece
            let isLast = offset + piece == count
            let hasStatus = isLast && response.status == .good
            var flags: UInt8 = isLast || burstLeft == 0 ? 0x80 : 0
            if burstLeft == 0 { burstLeft = parameters.maxBurstBytes }
            if hasStatus { flags |= 0x01 | residual.flags }

            let place = output.open(headerSpace)
            let header = HeaderWriter(place, opcode: Opcode.dataIn, flags: flags)
            fillDataIn(header, task, number: number, offset: offset, count: piece)
            if hasStatus {
                stampStatus(header)
                header.put(word: residual.count, at: 44)
            } else {
                stampWindow(header)
                header.put(word: 0, at: 24)
            }
            output.commit(sealHeader(place))
            output.append(UnsafeRawPointer(data + offset), piece, owner: owner)
            sendTrailer(data + offset, piece)
            offset += piece
            number &+= 1
        }
        return number
    }

    /// Padding and digest of data that lies elsewhere.
    private func sendTrailer(_ data: UnsafeMutableRawPointer, _ count: Int) {
        let padding = padded(count) - count
        guard padding > 0 || outputDataDigest else { return }
        let place = output.open(2 * ISCSILimits.digestBytes)
        place.storeBytes(of: 0, as: UInt64.self)
        var bytes = padding
        if outputDataDigest {
            let own = Checksum.of(UnsafeRawBufferPointer(start: data, count: count))
            let sum = Checksum.of(UnsafeRawBufferPointer(start: place, count: padding), after: own)
            place.storeBytes(of: sum.littleEndian, toByteOffset: padding, as: UInt32.self)
            bytes += ISCSILimits.digestBytes
        }
        output.commit(bytes)
    }

    private func fillDataIn(_ header: HeaderWriter, _ task: SCSITask, number: UInt32, offset: Int, count: Int) {
        header.put(dataBytes: count)
        header.put(lun: task.lun)
        header.put(tag: task.tag)
        header.put(transferTag: reservedTag)
        header.put(word: number, at: 36)
        header.put(word: UInt32(offset), at: 40)
    }

    private func sendStatus(_ task: SCSITask, _ response: SCSIResponse, _ residual: Residual, dataNumber: UInt32) {
        // Sense data has its length in front (11.4.7.2).
        var segment: [UInt8] = []
        if response.status == .checkCondition, !response.sense.isEmpty {
            let sense = response.sense.prefix(252)
            segment = [0, UInt8(sense.count)] + sense
        }
        segment.withUnsafeBytes { segment in
            emit(Opcode.scsiResponse, 0x80 | residual.flags, segment) { header in
                // Byte 2 is the iSCSI response: 0, the command was completed at the target.
                header.put(response.status.rawValue, at: 3)
                header.put(tag: task.tag)
                stampStatus(header)
                header.put(word: dataNumber, at: 36)
                header.put(word: residual.count, at: 44)
            }
        }
    }
}
