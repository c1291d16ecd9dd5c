import SCSI

// Task management (RFC 7143 11.5, 11.6): commands that still wait for data are dropped; those that the SCSI layer has can't be
// stopped, so the answer waits for them and theirs is left out.

extension Connection {
    /// A task management request that waits for commands to end, here or on other connections.
    struct Management {
        var tag: UInt32
        var waits: Int
        /// The SCSI layer's part, when none of the commands runs any more.
        var finish: (Connection) -> Void
        var endsSessions = false
    }

    /// Somebody who wants to know when these commands have ended.
    struct AbortWait {
        enum Done {
            case management(UInt64)
            case elsewhere(ConnectionInbox, UInt64)
            case logout
            /// By another initiator's PREEMPT AND ABORT.
            case preempted(@Sendable () -> Void)
        }

        var tasks: Set<ObjectIdentifier>
        var done: Done
    }

    enum TaskFunction {
        static let abortTask: UInt8 = 1
        static let abortTaskSet: UInt8 = 2
        static let clearACA: UInt8 = 3
        static let clearTaskSet: UInt8 = 4
        static let logicalUnitReset: UInt8 = 5
        static let targetWarmReset: UInt8 = 6
        static let targetColdReset: UInt8 = 7
        static let taskReassign: UInt8 = 8
    }

    enum TaskResponse {
        static let complete: UInt8 = 0
        static let noSuchTask: UInt8 = 1
        static let noSuchUnit: UInt8 = 2
        static let noReassign: UInt8 = 4
        static let notSupported: UInt8 = 5
        static let rejected: UInt8 = 255
    }

    func manageTasks(_ header: BasicHeader) {
        guard managements.count < ISCSILimits.taskManagementMax else {
            return reject(header, header.isImmediate ? .tooManyImmediate : .outOfResources)
        }
        counted.taskManagement += 1
        let tag = header.tag
        let lun = header.lun
        let function = header.flags & 0x7f
        switch function {
        case TaskFunction.abortTask:
            abortTask(header)
        case TaskFunction.abortTaskSet:
            guard unit(lun) != nil else { return sendTaskResponse(tag, TaskResponse.noSuchUnit) }
            manage(tag, units: [], own: { $0.lun == lun }) { _ in }
        case TaskFunction.clearTaskSet:
            guard let unit = unit(lun) else { return sendTaskResponse(tag, TaskResponse.noSuchUnit) }
            manage(tag, units: [unit.identity], own: { $0.lun == lun }) { _ in unit.nexus.clearedTaskSet() }
        case TaskFunction.logicalUnitReset:
            guard let unit = unit(lun) else { return sendTaskResponse(tag, TaskResponse.noSuchUnit) }
            manage(tag, units: [unit.identity], own: { $0.lun == lun }) { _ in unit.nexus.resetLogicalUnit() }
        case TaskFunction.targetWarmReset, TaskFunction.targetColdReset:
            let isCold = function == TaskFunction.targetColdReset
            manage(tag, units: Set(units.compactMap { $0?.identity }), own: { _ in true }, endsSessions: isCold) {
                for unit in $0.units { unit?.nexus.resetLogicalUnit() }
            }
        case TaskFunction.taskReassign: sendTaskResponse(tag, TaskResponse.noReassign)
        // There is no ACA to clear: no command establishes one here.
        case TaskFunction.clearACA: sendTaskResponse(tag, TaskResponse.notSupported)
        default: sendTaskResponse(tag, TaskResponse.rejected)
        }
    }

    private func abortTask(_ header: BasicHeader) {
        let referenced = header.word(20)
        if let task = tasks[referenced], task.lun == header.lun {
            return manage(header.tag, units: [], own: { $0 === task }) { _ in }
        }
        // A command that was sent and has not come counts as come, and as aborted (11.6.1).
        let number = header.word(32)
        if number == expectedCommand, SerialNumber.isBefore(number, header.commandNumber) {
            expectedCommand &+= 1
            return sendTaskResponse(header.tag, TaskResponse.complete)
        }
        sendTaskResponse(header.tag, TaskResponse.noSuchTask)
    }

    /// Aborts commands of this session, and of all others at the units, and answers when they are gone.
    private func manage(
        _ tag: UInt32, units: Set<ObjectIdentifier>, own: (SCSITask) -> Bool, endsSessions: Bool = false,
        finish: @escaping (Connection) -> Void
    ) {
        lastManagement += 1
        let id = lastManagement
        // One for our own, which is taken away last, so that the count can't come to zero before all are counted.
        managements[id] = Management(tag: tag, waits: 1, finish: finish, endsSessions: endsSessions)
        if !units.isEmpty, let ticket {
            for other in context.sessions.reaching(units, except: ticket.id)
            where other.inbox.post(.abortTasks(units: units, notify: inbox, management: id)) {
                managements[id]?.waits += 1
            }
        }
        abortTasks(where: own, done: .management(id))
    }

    func managementStep(_ id: UInt64) {
        guard var management = managements[id] else { return }
        management.waits -= 1
        managements[id] = management
        guard management.waits == 0 else { return }
        managements[id] = nil
        management.finish(self)
        guard phase == .fullFeature else { return }
        sendTaskResponse(management.tag, TaskResponse.complete)
        if management.endsSessions {
            let target = handle?.key.target
            context.sessions.order(.end(.targetReset)) { $1.key.target == target }
        }
    }

    /// Drops the commands that wait for data, and marks those that run; `done` when none of them runs any more.
    func abortTasks(where chosen: (SCSITask) -> Bool, done: AbortWait.Done?) {
        var running: Set<ObjectIdentifier> = []
        for task in Array(tasks.values) where chosen(task) {
            switch task.state {
            case .receiving:
                remove(task)
                forget(task.tag)
                forgetWaiting(task)
                if let buffer = task.dataOut { pool.give(buffer) }
                recycle(task)
            case .executing:
                task.isAborted = true
                running.insert(ObjectIdentifier(task))
            }
        }
        guard let done else { return }
        if running.isEmpty { finish(done) } else { abortWaits.append(AbortWait(tasks: running, done: done)) }
    }

    /// An aborted command has ended.
    func settle(_ task: SCSITask) {
        for index in abortWaits.indices { abortWaits[index].tasks.remove(ObjectIdentifier(task)) }
        let finished = abortWaits.filter(\.tasks.isEmpty)
        guard !finished.isEmpty else { return }
        abortWaits.removeAll(where: \.tasks.isEmpty)
        for wait in finished { finish(wait.done) }
    }

    private func finish(_ done: AbortWait.Done) {
        switch done {
        case .management(let id): managementStep(id)
        case .elsewhere(let inbox, let id): inbox.post(.abortedElsewhere(management: id))
        case .logout: finishLogout()
        case .preempted(let tell): tell()
        }
    }

    private func sendTaskResponse(_ tag: UInt32, _ response: UInt8) {
        emit(Opcode.taskManagementResponse, 0x80) { header in
            header.put(response, at: 2)
            header.put(tag: tag)
            stampStatus(header)
        }
    }
}
