/// What the two sides of a session agreed on (RFC 7143 13), and the rules by which they did.
struct SessionParameters: Equatable {
    var headerDigest = false
    var dataDigest = false
    var initialR2T = true
    var immediateData = true
    /// What the initiator takes in one PDU.
    var peerDataSegmentBytes = ISCSILimits.loginDataSegmentBytesMax
    /// What this side takes in one PDU, once it has said so.
    var ownDataSegmentBytes = ISCSILimits.loginDataSegmentBytesMax
    var maxBurstBytes = 262_144
    var firstBurstBytes = 65_536

    /// Unsolicited data of one command can't be more than a burst (RFC 7143 13.14).
    var unsolicitedBytesMax: Int { min(firstBurstBytes, maxBurstBytes) }

    enum Answer: Equatable {
        case value(String)
        /// The key only declares.
        case none
        /// The login, or the negotiation, is over: the initiator broke a rule.
        case violation
    }

    private static let reject = Answer.value("Reject")
    private static let irrelevant = Answer.value("Irrelevant")
    private static let notUnderstood = Answer.value("NotUnderstood")

    /// Takes one operational key that the initiator sent during login.
    mutating func negotiate(_ key: String, _ value: String, isDiscovery: Bool) -> Answer {
        guard value.utf8.count <= ISCSILimits.textValueBytesMax else { return Self.reject }
        switch key {
        case "HeaderDigest": return digest(value, \.headerDigest)
        case "DataDigest": return digest(value, \.dataDigest)
        case "MaxRecvDataSegmentLength": return declareDataSegmentBytes(value)
        case "ErrorRecoveryLevel": return number(value, 0...2) { min($0, 0) }
        case "DefaultTime2Wait": return number(value, 0...3600) { max($0, 2) }
        // Nothing of a session is kept when its connection is gone.
        case "DefaultTime2Retain": return number(value, 0...3600) { min($0, 0) }
        case "iSCSIProtocolLevel": return number(value, 0...31) { min($0, 1) }
        // RFC 7143 13.25 wants these old ones known, and refused: markers that nobody implements.
        case "IFMarker", "OFMarker": return Self.isBoolean(value) ? .value("No") : Self.reject
        case "IFMarkInt", "OFMarkInt": return Self.reject
        case "InitiatorAlias": return .none
        case "MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
            "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder", "TaskReporting":
            return isDiscovery ? Self.irrelevant : negotiateTransfer(key, value)
        // Known keys that only a target may send, or that belong elsewhere.
        case "TargetAlias", "TargetAddress", "TargetPortalGroupTag", "SendTargets": return .violation
        default: return Self.notUnderstood
        }
    }

    /// The keys that only a session with commands needs.
    private mutating func negotiateTransfer(_ key: String, _ value: String) -> Answer {
        switch key {
        case "MaxConnections": return number(value, 1...65535) { min($0, 1) }
        case "MaxOutstandingR2T": return number(value, 1...65535) { min($0, 1) }
        case "InitialR2T":
            // "Or": what either side wants; this one wants none.
            guard Self.isBoolean(value) else { return Self.reject }
            initialR2T = value == "Yes"
            return .value(value)
        case "ImmediateData":
            guard Self.isBoolean(value) else { return Self.reject }
            immediateData = value == "Yes"
            return .value(value)
        case "DataPDUInOrder", "DataSequenceInOrder":
            // "Or": this side wants order, so there will be order.
            return Self.isBoolean(value) ? .value("Yes") : Self.reject
        case "MaxBurstLength":
            return smaller(value, ISCSILimits.burstBytesMax, \.maxBurstBytes)
        case "FirstBurstLength":
            return smaller(value, ISCSILimits.firstBurstBytesMax, \.firstBurstBytes)
        case "TaskReporting":
            // With one connection a session, a task management response is always behind what it speaks of; both of the
            // plain forms hold.
            let known = value.split(separator: ",").first { $0 == "RFC3720" || $0 == "ResponseFence" }
            return known.map { .value(String($0)) } ?? Self.reject
        default: return Self.notUnderstood
        }
    }

    /// A key of a Text Request in the full feature phase: only what RFC 7143 13 marks so may change then.
    mutating func renegotiate(_ key: String, _ value: String) -> Answer {
        switch key {
        case "MaxRecvDataSegmentLength": return declareDataSegmentBytes(value)
        case "InitiatorAlias": return .none
        case "HeaderDigest", "DataDigest", "ErrorRecoveryLevel", "DefaultTime2Wait", "DefaultTime2Retain",
            "MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
            "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder", "TaskReporting", "AuthMethod",
            "InitiatorName", "SessionType", "TargetName":
            return Self.reject
        default: return Self.notUnderstood
        }
    }

    private mutating func declareDataSegmentBytes(_ value: String) -> Answer {
        guard let count = TextPairs.number(value), (512...0xff_ffff).contains(count) else { return .violation }
        peerDataSegmentBytes = Int(count)
        return .none
    }

    /// A list: the first of the initiator's choices that this side knows (RFC 7143 6.2.1). It knows both.
    private mutating func digest(_ value: String, _ place: WritableKeyPath<Self, Bool>) -> Answer {
        for choice in value.split(separator: ",", omittingEmptySubsequences: false) {
            if choice == "CRC32C" || choice == "None" {
                self[keyPath: place] = choice == "CRC32C"
                return .value(String(choice))
            }
        }
        return Self.reject
    }

    private func number(_ value: String, _ range: ClosedRange<UInt64>, _ result: (UInt64) -> UInt64) -> Answer {
        guard let offered = TextPairs.number(value), range.contains(offered) else { return Self.reject }
        return .value(String(result(offered)))
    }

    /// A length of which the smaller one holds.
    private mutating func smaller(_ value: String, _ own: Int, _ place: WritableKeyPath<Self, Int>) -> Answer {
        guard let offered = TextPairs.number(value), (512...0xff_ffff).contains(offered) else { return Self.reject }
        self[keyPath: place] = min(Int(offered), own)
        return .value(String(self[keyPath: place]))
    }

    private static func isBoolean(_ value: String) -> Bool { value == "Yes" || value == "No" }
}
