import Primitives
import SCSI

// NOP, Text, Logout and the messages that the target sends unasked (RFC 7143 11.9 to 11.19).

extension Connection {
    // MARK: NOP

    func answerNop(_ frame: PDUFrame) {
        let header = frame.header
        if header.tag == reservedTag {
            // Answers a ping of ours, or only tells its ExpStatSN; that it came is what counts.
            if !header.isImmediate { rejectAndEnd(header) }
            return
        }
        guard admits(header) else { return }
        let echo = UnsafeRawBufferPointer(rebasing: frame.data.prefix(parameters.peerDataSegmentBytes))
        let lun = header.lun
        let tag = header.tag
        emit(Opcode.nopIn, 0x80, echo) { answer in
            answer.put(lun: lun)
            answer.put(tag: tag)
            answer.put(transferTag: reservedTag)
            stampStatus(answer)
        }
    }

    /// Asks a silent initiator for a sign of life.
    func ping() {
        pingTag &+= 1
        if pingTag == reservedTag { pingTag = 1 }
        emit(Opcode.nopIn, 0x80) { header in
            header.put(tag: reservedTag)
            header.put(transferTag: pingTag)
            stampWindow(header)
        }
    }

    // MARK: Text

    /// A negotiation by Text Requests, or an answer that is longer than one PDU.
    struct TextExchange {
        var tag: UInt32
        /// What the initiator has to show to go on; `reservedTag` before the first answer.
        var transferTag: UInt32
        var gathered: [UInt8] = []
        /// Not sent yet.
        var rest: ArraySlice<UInt8> = []
    }

    func answerText(_ frame: PDUFrame) {
        let header = frame.header
        guard header.tag != reservedTag else { return rejectAndEnd(header) }
        var exchange: TextExchange
        if header.transferTag == reservedTag {
            // A new one, which ends one that was under way (11.10.4).
            exchange = TextExchange(tag: header.tag, transferTag: reservedTag)
        } else if let known = textExchange, known.tag == header.tag, known.transferTag == header.transferTag {
            exchange = known
        } else {
            return reject(header, .protocolError)
        }
        textExchange = nil
        guard exchange.gathered.count + frame.data.count <= ISCSILimits.textBytesMax else {
            return reject(header, .outOfResources)
        }
        if !exchange.rest.isEmpty {
            // The initiator only fetches the rest of an answer.
            guard frame.data.isEmpty else { return reject(header, .protocolError) }
            return sendText(&exchange, isLast: header.isFinal)
        }
        exchange.gathered += frame.data
        if header.continues {
            guard !header.isFinal else { return reject(header, .protocolError) }
            return sendText(&exchange, isLast: false)
        }
        let pairs: [(key: String, value: String)]
        do { pairs = try TextPairs.parse(exchange.gathered) } catch { return reject(header, .protocolError) }
        exchange.gathered = []
        guard let answer = answerKeys(pairs) else { return reject(header, .protocolError) }
        exchange.rest = answer[...]
        sendText(&exchange, isLast: header.isFinal)
    }

    /// nil if the initiator broke a rule.
    private func answerKeys(_ pairs: [(key: String, value: String)]) -> [UInt8]? {
        var answer: [UInt8] = []
        var seen: Set<String> = []
        var changed = parameters
        for (key, value) in pairs {
            guard seen.insert(key).inserted else { return nil }
            if key == "SendTargets" {
                answer += discover(value)
                continue
            }
            switch changed.renegotiate(key, value) {
            case .value(let text): TextPairs.append(key, text, to: &answer)
            case .none: break
            case .violation: return nil
            }
        }
        parameters = changed
        return answer
    }

    private func sendText(_ exchange: inout TextExchange, isLast: Bool) {
        let piece = exchange.rest.prefix(parameters.peerDataSegmentBytes)
        exchange.rest = exchange.rest.dropFirst(piece.count)
        let hasMore = !exchange.rest.isEmpty
        // F only in answer to F (11.11.1); C while the text goes on (11.11.2).
        let isFinal = isLast && !hasMore
        exchange.transferTag = isFinal ? reservedTag : nextTransferTag()
        let flags: UInt8 = isFinal ? 0x80 : hasMore ? 0x40 : 0
        piece.withUnsafeBytes { text in
            emit(Opcode.textResponse, flags, text) { header in
                header.put(tag: exchange.tag)
                header.put(transferTag: exchange.transferTag)
                stampStatus(header)
            }
        }
        if !isFinal { textExchange = exchange }
    }

    /// SendTargets (RFC 7143 Appendix C): what this initiator may use, and where.
    private func discover(_ wanted: String) -> [UInt8] {
        var names: [String]
        if isDiscovery {
            names = Array(context.provider.visibleTargets(to: discoverer).prefix(ISCSILimits.discoveredTargetsMax))
            if wanted != "All" {
                let wanted = Login.normalized(wanted)
                names = names.filter { $0 == wanted }
            }
        } else {
            // In a normal session only its own target can be asked for; no name means it.
            let own = handle?.key.target ?? ""
            names = wanted.isEmpty || Login.normalized(wanted) == own ? [own] : []
        }
        let tag = context.configuration.portalGroupTag
        let addresses = context.portals.withLock { $0.map { $0.targetAddress(local: endpoints.local, tag: tag) } }
        var text: [UInt8] = []
        for name in names {
            TextPairs.append("TargetName", name, to: &text)
            for address in addresses { TextPairs.append("TargetAddress", address, to: &text) }
        }
        return text
    }

    // MARK: Logout

    private enum LogoutResponse {
        static let closed: UInt8 = 0
        static let noSuchConnection: UInt8 = 1
        static let recoveryNotSupported: UInt8 = 2
    }

    func logOut(_ header: BasicHeader) {
        let reason = header.flags & 0x7f
        guard reason <= 2 else { return reject(header, .invalidField) }
        if reason == 2 { return sendLogoutResponse(header.tag, LogoutResponse.recoveryNotSupported) }
        // Closing the session's only connection is closing the session.
        if reason == 1, header.half(20) != connectionID {
            return sendLogoutResponse(header.tag, LogoutResponse.noSuchConnection)
        }
        guard pendingLogout == nil else { return reject(header, .waitingForLogout) }
        pendingLogout = (header.tag, LogoutResponse.closed)
        // Whoever was told that it is logged out may hand the disk to somebody else: nothing runs any more by then.
        abortTasks(where: { _ in true }, done: .logout)
    }

    func finishLogout() {
        guard phase == .fullFeature, let logout = pendingLogout else { return }
        sendLogoutResponse(logout.tag, logout.response)
        end()
    }

    private func sendLogoutResponse(_ tag: UInt32, _ response: UInt8) {
        emit(Opcode.logoutResponse, 0x80) { header in
            header.put(response, at: 2)
            header.put(tag: tag)
            stampStatus(header)
            // Time2Wait and Time2Retain: come back when you like, nothing is kept.
        }
    }

    // MARK: Async messages

    private enum AsyncEvent {
        static let logoutRequested: UInt8 = 1
        static let sessionDropped: UInt8 = 3
    }

    func askLogout(seconds: UInt16) { sendAsync(AsyncEvent.logoutRequested, third: seconds) }

    /// All connections of the session are about to be dropped.
    func announceEnd() { sendAsync(AsyncEvent.sessionDropped, second: 2) }

    private func sendAsync(_ event: UInt8, second: UInt16 = 0, third: UInt16 = 0) {
        emit(Opcode.asyncMessage, 0x80) { header in
            header.put(tag: reservedTag)
            stampStatus(header)
            header.put(event, at: 36)
            header.put(half: second, at: 40)
            header.put(half: third, at: 42)
        }
    }
}
