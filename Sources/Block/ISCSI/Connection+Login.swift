import Primitives
import SCSI

// From the first PDU to the full feature phase.

extension Connection {
    /// One PDU of a connection that isn't logged in: a Login Request, or the end of it.
    func handleLogin(_ frame: PDUFrame) {
        let header = frame.header
        guard header.opcode == Opcode.loginRequest, var login else { return fail() }
        if login.identity == nil {
            // The first request starts both sequences (RFC 7143 11.12.8).
            expectedCommand = header.commandNumber
            connectionID = header.half(20)
        }
        let outcome = login.receive(header, frame.data, now: now)
        self.login = login
        switch outcome {
        case .reply(let reply): sendLoginReply(reply, tsih: 0)
        case .refuse(let status): refuseLogin(status, header.tag)
        case .admit(let reply): admit(login, reply)
        }
    }

    /// Enters the session into the table; with an older one under its key it then has to wait for that one's end.
    private func admit(_ login: Login, _ reply: Login.Reply) {
        guard let identity = login.identity else { return fail() }
        let units = login.target?.units.values.map { ObjectIdentifier($0) } ?? []
        let handle = SessionHandle(
            key: SessionHandle.Key(initiator: login.initiatorName, isid: identity.isid, target: login.targetName),
            address: endpoints.peer, since: context.configuration.now(), inbox: inbox, units: Set(units))
        guard let (ticket, mayProceed) = context.sessions.enter(handle) else {
            return refuseLogin(.outOfResources, identity.tag)
        }
        self.handle = handle
        self.ticket = ticket
        pendingReply = reply
        phase = .admitting
        if mayProceed { finishLogin() }
    }

    /// The session is in the table and alone under its key.
    ///
    /// The target is looked up again only now: whoever takes one away does so first and ends the sessions in the table
    /// afterwards, so either they find this one or this finds the target gone.
    func finishLogin() {
        guard let login, let reply = pendingReply, let identity = login.identity, let ticket else { return fail() }
        if !login.isDiscovery {
            guard let target = context.provider.target(named: login.targetName), isSame(target, login.target) else {
                return refuseLogin(.notFound, identity.tag)
            }
            attach(to: target, initiator: login.initiatorName, isid: identity.isid)
        }
        pendingReply = nil
        isDiscovery = login.isDiscovery
        parameters = login.parameters
        sendLoginReply(reply, tsih: ticket.tsih)
        inputRules = PDUFrame.Rules(
            headerDigest: parameters.headerDigest, dataDigest: parameters.dataDigest,
            dataBytesMax: parameters.ownDataSegmentBytes)
        outputHeaderDigest = parameters.headerDigest
        outputDataDigest = parameters.dataDigest
        discoverer = DiscoveringInitiator(name: login.initiatorName, account: login.provenAccount)
        self.login = nil
        heardAt = now
        counted.logins += 1
        phase = .fullFeature
    }

    /// The target that the initiator proved itself to is still the one of that name.
    private func isSame(_ target: ISCSITarget, _ proven: ISCSITarget?) -> Bool {
        guard let proven else { return false }
        let isSameAccount =
            switch (target.account, proven.account) {
            case (nil, nil): true
            case (let a?, let b?): a.matches(b)
            default: false
            }
        return isSameAccount && target.isReadOnly == proven.isReadOnly
            && Set(target.units.values.map { ObjectIdentifier($0) }) == handle?.units
    }

    private func attach(to target: ISCSITarget, initiator: String, isid: UInt64) {
        let port = TargetPort(
            name: target.name, portalGroupTag: context.configuration.portalGroupTag,
            relativeID: target.relativePortID)
        let last = target.units.keys.filter { Int($0) < ISCSILimits.unitsMax }.max()
        units = Array(repeating: nil, count: last.map { Int($0) + 1 } ?? 0)
        for (number, source) in target.units where Int(number) < ISCSILimits.unitsMax {
            let identity = ObjectIdentifier(source)
            // The unit keeps this as long as the nexus is attached, and the inbox keeps nothing of the connection.
            let nexus = source.attach(
                initiator: InitiatorPort(name: initiator, isid: isid), target: port, isReadOnly: target.isReadOnly
            ) { [inbox] done in
                // A connection that is gone has no commands.
                if !inbox.post(.preempted(identity, done: done)) { done() }
            }
            units[Int(number)] = AttachedUnit(nexus: nexus, identity: identity)
        }
    }

    private func sendLoginReply(_ reply: Login.Reply, tsih: UInt16) {
        guard let identity = login?.identity else { return }
        var flags = reply.stage << 2
        if reply.transits { flags |= 0x80 | reply.nextStage }
        reply.text.withUnsafeBytes { text in
            emit(Opcode.loginResponse, flags, text) { header in
                // Bytes 2 and 3 are the versions: 0 is the only one.
                header.put(lun: identity.isid << 16 | UInt64(identity.tsih != 0 ? identity.tsih : tsih))
                header.put(tag: identity.tag)
                stampStatus(header)
            }
        }
    }

    private func refuseLogin(_ status: Login.Status, _ tag: UInt32) {
        let identity = login?.identity
        reportFailure(login?.refusal ?? status.reason)
        emit(Opcode.loginResponse, 0) { header in
            header.put(lun: (identity?.isid ?? 0) << 16 | UInt64(identity?.tsih ?? 0))
            header.put(tag: tag)
            stampStatus(header)
            header.put(half: status.rawValue, at: 36)
        }
        end()
    }

    /// Time is up. A stranger that never began is not worth a line.
    func giveUpLogin() {
        if login?.identity != nil {
            reportFailure(
                phase == .admitting
                    ? "an older session of the initiator did not end in time" : "it did not finish in time")
        }
        abandon()
    }

    func reportFailure(_ reason: String) {
        counted.failedLogins += 1
        guard let omitted = context.failureReports.admit(now: now) else { return }
        context.configuration.onFailedLogin(
            ISCSIFailedLogin(
                initiator: login?.initiatorName ?? "", address: endpoints.peer, target: login?.wantedName ?? "",
                reason: reason, omitted: omitted))
    }
}
