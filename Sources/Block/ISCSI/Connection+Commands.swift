import Glibc
import SCSI

// SCSI commands from their PDU to the SCSI layer: immediate, unsolicited and asked-for data (RFC 7143 4.2.4.2, 11.3, 11.7,
// 11.8).

extension Connection {
    /// A SCSI Command PDU that the window let in.
    func startCommand(_ frame: PDUFrame) {
        let header = frame.header
        let tag = header.tag
        guard tag != reservedTag else { return rejectAndEnd(header) }
        if !tasks.isEmpty, tasks[tag] != nil { return reject(header, .taskInProgress) }
        if header.isImmediate, immediates >= ISCSILimits.immediateMax { return reject(header, .tooManyImmediate) }
        let task = makeTask(header)
        // Both directions need a length in an additional header.
        if task.reads && task.writes {
            spareTasks.append(task)
            return reject(header, .invalidField)
        }
        counted.commands += 1
        if task.writes {
            startWrite(task, frame)
        } else if frame.data.isEmpty {
            execute(task, UnsafeRawBufferPointer(start: nil, count: 0))
        } else {
            answerFailure(task, .unexpectedData, isFinal: true)
        }
    }

    private func makeTask(_ header: BasicHeader) -> SCSITask {
        let task = spareTasks.popLast() ?? SCSITask(connection: self)
        task.tag = header.tag
        task.number = header.commandNumber
        task.isImmediate = header.isImmediate
        task.reads = header.flags & 0x40 != 0
        task.writes = header.flags & 0x20 != 0
        // Without a direction there is nothing to expect (11.3.4).
        task.expected = task.reads || task.writes ? Int(header.word(20)) : 0
        task.lun = header.lun
        // ExpStatSN: nothing is on its way to the initiator.
        task.isAlone = header.word(28) == statusNumber
        task.command = SCSICommand(
            cdb: Array(UnsafeRawBufferPointer(start: header.base + 32, count: 16)), lun: 0,
            attribute: TaskAttribute(rawValue: header.flags & 7) ?? .simple,
            dataOutExpected: task.writes ? task.expected : 0, dataInExpected: task.reads ? task.expected : 0)
        return task
    }

    private func startWrite(_ task: SCSITask, _ frame: PDUFrame) {
        let isFinal = frame.header.isFinal
        let unsolicited = min(task.expected, parameters.unsolicitedBytesMax)
        guard isFinal || !parameters.initialR2T else { return rejectAndEnd(frame.header) }
        guard frame.data.isEmpty || parameters.immediateData else {
            return answerFailure(task, .unexpectedData, isFinal: isFinal)
        }
        guard frame.data.count <= unsolicited else { return answerFailure(task, .wrongAmount, isFinal: isFinal) }
        guard task.expected <= ISCSILimits.transferBytesMax else {
            return answerFailure(task, .tooLong, isFinal: isFinal)
        }
        if frame.data.count == task.expected {
            // All of it came along: it is used where it lies.
            if !isFinal { forget(task.tag) }
            return execute(task, frame.data)
        }
        task.state = .receiving
        task.received = 0
        task.burstEnd = unsolicited
        remember(task)
        if isFinal {
            if frame.data.count > 0 { store(frame.data, task, capacity: frame.data.count) }
            solicit(task)
        } else {
            store(frame.data, task, capacity: unsolicited)
        }
    }

    /// Puts data behind what is there already.
    private func store(_ data: UnsafeRawBufferPointer, _ task: SCSITask, capacity: Int) {
        let needed = max(capacity, task.received + data.count)
        if task.dataOut == nil || task.dataOut!.count < needed {
            let larger = pool.take(needed)
            if let old = task.dataOut {
                memcpy(larger.base, old.base, task.received)
                pool.give(old)
            }
            task.dataOut = larger
        }
        if let source = data.baseAddress, let buffer = task.dataOut, data.count > 0 {
            memcpy(buffer.base + task.received, source, data.count)
        }
        task.received += data.count
    }

    // MARK: Data-Out

    /// A Data-Out PDU: the bytes that come next, in answer to what was asked.
    ///
    /// A number that isn't next ends the command, once its last data has come (RFC 7143 7.8 and 7.9 leave the choice between
    /// that and the connection). All else that is wrong ends the connection.
    func takeData(_ frame: PDUFrame) {
        let header = frame.header
        guard let task = tasks[header.tag], task.state == .receiving else {
            // Of an aborted command, data may still be on its way.
            if abortedTags.contains(header.tag) { return }
            return rejectAndEnd(header)
        }
        // An R2T that waits for memory asks for nothing yet.
        guard header.transferTag == task.transferTag, task.isGranted || task.transferTag == reservedTag else {
            return rejectAndEnd(header)
        }
        if header.word(36) != task.nextDataNumber { task.isOutOfSequence = true }
        if task.isOutOfSequence {
            if header.isFinal { failSequence(task) }
            return
        }
        guard Int(header.word(40)) == task.received, frame.data.count <= task.burstEnd - task.received,
            header.isFinal || task.received + frame.data.count < task.burstEnd
        else { return rejectAndEnd(header) }
        task.nextDataNumber &+= 1
        store(frame.data, task, capacity: task.burstEnd)
        guard header.isFinal else { return }
        if task.received < task.expected { return solicit(task) }
        forgetWaiting(task)
        let buffer = task.dataOut
        task.dataOut = nil
        execute(task, UnsafeRawBufferPointer(start: buffer?.base, count: task.received))
        if let buffer {
            // The SCSI layer has taken what it needs.
            pool.give(buffer)
        }
    }

    private func failSequence(_ task: SCSITask) {
        remove(task)
        forgetWaiting(task)
        if let buffer = task.dataOut { pool.give(buffer) }
        answerFailure(task, .outOfSequence, isFinal: true)
    }

    /// Asks for the rest of a command's data, or puts it into the queue of those that wait for memory.
    private func solicit(_ task: SCSITask) {
        if task.isGranted { return sendR2T(task) }
        // What comes unasked meanwhile is no answer to anything.
        task.burstEnd = task.received
        task.transferTag = nextTransferTag()
        wantingData.append(task)
        grantData()
    }

    /// Grants memory in the order of the commands. One may always go on, however long it is.
    private func grantData() {
        while let task = wantingData.first,
            solicitedBytes == 0 || solicitedBytes + task.expected <= ISCSILimits.solicitedBytesMax
        {
            wantingData.removeFirst()
            task.isGranted = true
            solicitedBytes += task.expected
            store(UnsafeRawBufferPointer(start: nil, count: 0), task, capacity: task.expected)
            sendR2T(task)
        }
    }

    /// A tag for the initiator to show again.
    func nextTransferTag() -> UInt32 {
        lastTransferTag &+= 1
        if lastTransferTag == reservedTag { lastTransferTag = 1 }
        return lastTransferTag
    }

    private func sendR2T(_ task: SCSITask) {
        let length = min(task.expected - task.received, parameters.maxBurstBytes)
        task.transferTag = nextTransferTag()
        task.nextDataNumber = 0
        task.burstEnd = task.received + length
        emit(Opcode.readyToTransfer, 0x80) { header in
            header.put(lun: task.lun)
            header.put(tag: task.tag)
            header.put(transferTag: task.transferTag)
            stampWindow(header)
            header.put(word: task.nextR2TNumber, at: 36)
            header.put(word: UInt32(task.received), at: 40)
            header.put(word: UInt32(length), at: 44)
        }
        task.nextR2TNumber &+= 1
    }

    // MARK: Execution

    /// SYNCHRONIZE CACHE, of both sizes.
    private static let flushes: [UInt8] = [0x35, 0x91]

    /// Hands a command to the SCSI layer, and its answer to the initiator if it is there at once.
    private func execute(_ task: SCSITask, _ data: UnsafeRawBufferPointer) {
        task.state = .executing
        notice(
            isWrite: task.writes || Self.flushes.contains(task.command.cdb[0]),
            isAlone: executingCount == 0 && task.isAlone)
        executing = task
        let response: SCSIResponse?
        // A unit knows itself; that there are others, or that it isn't the first, only the target knows.
        let isInventory = units.count != 1 && task.command.cdb[0] == AbsentUnit.reportLUNs
        if !isInventory, let unit = unit(task.lun) {
            response = unit.nexus.execute(
                task.command, dataOut: data, dataIn: task, sink: inbox, completion: task.completion)
        } else {
            response = AbsentUnit.answer(task.command, units: units.indices.filter { units[$0] != nil }, dataIn: task)
        }
        executing = nil
        if let response {
            remove(task)
            answer(task, response)
            recycle(task)
        } else {
            if task.inlineHeader != nil {
                // Others' answers go first; the room stays the command's.
                task.inlineOwner = output.detach(headerSpace + task.inlineBytes + 2 * ISCSILimits.digestBytes)
            }
            remember(task)
            executingCount += 1
        }
    }

    /// The SCSI layer is done with a command that took its time. On the connection's thread, by way of the inbox.
    func completed(_ task: SCSITask, _ response: SCSIResponse) {
        executingCount -= 1
        remove(task)
        if task.isAborted {
            settle(task)
        } else if phase == .fullFeature {
            answer(task, response)
        }
        recycle(task)
    }

    /// Whether the calling thread is in the middle of this command's `execute`.
    func isExecuting(_ task: SCSITask) -> Bool { isOnOwnThread && executing === task }

    /// Room for a command's data right behind its header, if one PDU can hold it.
    func reserveInline(_ count: Int, for task: SCSITask) -> UnsafeMutableRawPointer? {
        guard count > 0, count <= ISCSILimits.inlineDataBytesMax, count <= parameters.peerDataSegmentBytes,
            count <= parameters.maxBurstBytes
        else { return nil }
        let place = output.open(headerSpace + count + 2 * ISCSILimits.digestBytes)
        task.inlineHeader = place
        task.inlineBytes = count
        return place + headerSpace
    }

    func takeBuffer(_ count: Int) -> Buffer {
        isOnOwnThread ? pool.take(count) : Buffer(count: count)
    }

    // MARK: The table of commands

    private func remember(_ task: SCSITask) {
        guard !task.isListed else { return }
        task.isListed = true
        tasks[task.tag] = task
        if task.isImmediate { immediates += 1 } else { windowed += 1 }
    }

    func remove(_ task: SCSITask) {
        guard task.isListed else { return }
        task.isListed = false
        tasks[task.tag] = nil
        if task.isImmediate { immediates -= 1 } else { windowed -= 1 }
    }

    func recycle(_ task: SCSITask) {
        task.reset()
        if spareTasks.count < Int(ISCSILimits.commandsMax) { spareTasks.append(task) }
    }

    /// A command gets no more data.
    func forgetWaiting(_ task: SCSITask) {
        if task.isGranted {
            task.isGranted = false
            solicitedBytes -= task.expected
        } else {
            wantingData.removeAll { $0 === task }
        }
        if phase == .fullFeature { grantData() }
    }

    /// Data for this tag may still come, and is nobody's any more.
    func forget(_ tag: UInt32) {
        if abortedTags.count < ISCSILimits.abortedTagsMax {
            abortedTags.append(tag)
        } else {
            abortedTags[abortedTagsNext] = tag
            abortedTagsNext = (abortedTagsNext + 1) % ISCSILimits.abortedTagsMax
        }
    }
}
