import Primitives

/// The login phase of one connection as a state machine: Login Requests in, what to answer out (RFC 7143 6.3).
///
/// It does no I/O. Everything before the end of it comes from somebody unknown: the requests, their text, their keys and
/// their time are bounded.
struct Login {
    /// Status class and detail (RFC 7143 11.13.5).
    enum Status: UInt16, Error {
        case initiatorError = 0x0200
        case authenticationFailure = 0x0201
        case authorizationFailure = 0x0202
        case notFound = 0x0203
        case unsupportedVersion = 0x0205
        case tooManyConnections = 0x0206
        case missingParameter = 0x0207
        case sessionTypeNotSupported = 0x0209
        case sessionDoesNotExist = 0x020a
        case invalidDuringLogin = 0x020b
        case serviceUnavailable = 0x0301
        case outOfResources = 0x0302
    }

    struct Reply {
        var text: [UInt8] = []
        var transits = false
        var stage: UInt8
        var nextStage: UInt8 = 0
    }

    enum Outcome {
        case reply(Reply)
        /// The last answer: to be sent once the session stands.
        case admit(Reply)
        case refuse(Status)
    }

    /// What the first request fixed for the rest.
    struct Identity {
        var isid: UInt64
        var tsih: UInt16
        var connectionID: UInt16
        var tag: UInt32
    }

    enum Stage {
        static let security: UInt8 = 0
        static let operational: UInt8 = 1
        static let fullFeature: UInt8 = 3
    }

    private let context: ISCSIContext
    private let address: String

    private(set) var identity: Identity?
    private(set) var initiatorName = ""
    private(set) var targetName = ""
    /// What it asked for, whether there is such a target or not.
    private(set) var wantedName = ""
    private(set) var isDiscovery = false
    private(set) var target: ISCSITarget?
    /// The CHAP name that was proven.
    private(set) var provenAccount: String?
    private(set) var parameters = SessionParameters()

    private var stage: UInt8 = 0
    private var isOpened = false
    private var requests = 0
    private var textBytes = 0
    private var text: [UInt8] = []
    private var seenKeys: Set<String> = []
    private var chap: CHAP?
    private var isMethodChosen = false
    private var isAuthenticated = false
    private var hasDeclared = false
    /// Why it was refused, where the status doesn't tell all that the operator should know.
    private(set) var refusal: String?

    init(context: ISCSIContext, address: String) {
        self.context = context
        self.address = address
    }

    /// Takes one Login Request. `now` is in milliseconds.
    mutating func receive(_ header: BasicHeader, _ data: UnsafeRawBufferPointer, now: UInt64) -> Outcome {
        do throws(Status) {
            return try take(header, data, now: now)
        } catch {
            if error == .authenticationFailure { context.throttle.failed(origin, now: now) }
            return .refuse(error)
        }
    }

    private mutating func take(
        _ header: BasicHeader, _ data: UnsafeRawBufferPointer, now: UInt64
    ) throws(Status) -> Outcome {
        requests += 1
        textBytes += data.count
        guard requests <= ISCSILimits.loginRequestsMax, textBytes <= ISCSILimits.loginTextBytesMax else {
            throw .initiatorError
        }
        let current = header.flags >> 2 & 3
        let next = header.flags & 3
        try checkFraming(header, current, next)
        text.append(contentsOf: data)
        // More of this text is to come; it is understood when it is whole.
        if header.continues { return .reply(Reply(stage: current)) }

        let pairs: [(key: String, value: String)]
        do { pairs = try TextPairs.parse(text) } catch { throw .initiatorError }
        text = []
        for pair in pairs where !seenKeys.insert(pair.key).inserted { throw .initiatorError }

        var reply = Reply(stage: current)
        if !isOpened {
            try open(pairs, now: now)
            isOpened = true
            // RFC 7143 13.9: in the first answer that knows the target.
            if !isDiscovery {
                TextPairs.append("TargetPortalGroupTag", String(context.configuration.portalGroupTag), to: &reply.text)
            }
        }
        if current == Stage.security {
            try secure(pairs, &reply.text)
        } else {
            guard isAuthenticated || !needsAuthentication else { throw .authenticationFailure }
            try negotiate(pairs, &reply.text)
        }
        guard reply.text.count <= ISCSILimits.loginDataSegmentBytesMax else { throw .outOfResources }
        return try transit(header, next, reply)
    }

    private mutating func checkFraming(_ header: BasicHeader, _ current: UInt8, _ next: UInt8) throws(Status) {
        guard header.isImmediate, header.additionalBytes == 0 else { throw .initiatorError }
        // Version 0 is the only one there is; byte 3 is the least that the initiator speaks.
        guard header.byte(3) == 0 else { throw .unsupportedVersion }
        let isid = header.lun >> 16
        let tsih = UInt16(truncatingIfNeeded: header.lun)
        if let identity {
            guard identity.isid == isid, identity.tsih == tsih, identity.tag == header.tag,
                identity.connectionID == header.half(20)
            else { throw .invalidDuringLogin }
        } else {
            identity = Identity(isid: isid, tsih: tsih, connectionID: header.half(20), tag: header.tag)
            stage = current
        }
        guard current == stage, current == Stage.security || current == Stage.operational else {
            throw .invalidDuringLogin
        }
        if header.isFinal {
            guard !header.continues, next > current, next == Stage.operational || next == Stage.fullFeature else {
                throw .initiatorError
            }
        }
    }

    private mutating func transit(_ header: BasicHeader, _ next: UInt8, _ reply: Reply) throws(Status) -> Outcome {
        guard header.isFinal else { return .reply(reply) }
        if stage == Stage.security, !isAuthenticated {
            // In the middle of CHAP the initiator's wish to move on has to wait.
            if chap != nil { return .reply(reply) }
            guard !needsAuthentication else { throw .authenticationFailure }
        }
        var reply = reply
        reply.transits = true
        reply.nextStage = next
        stage = next
        return next == Stage.fullFeature ? .admit(reply) : .reply(reply)
    }

    private var needsAuthentication: Bool {
        isDiscovery ? context.provider.discoveryNeedsAuthentication : target?.account != nil
    }

    private var origin: LoginThrottle.Origin { LoginThrottle.Origin(address: address, target: targetName) }

    /// Understands who wants what: the keys of the first text.
    private mutating func open(_ pairs: [(key: String, value: String)], now: UInt64) throws(Status) {
        func value(_ key: String) -> String? { pairs.first { $0.key == key }?.value }
        guard let name = value("InitiatorName") else { throw .missingParameter }
        guard let name = Self.normalized(name) else { throw .initiatorError }
        initiatorName = name
        switch value("SessionType") {
        case nil, "Normal": isDiscovery = false
        case "Discovery": isDiscovery = true
        default: throw .sessionTypeNotSupported
        }
        if !isDiscovery {
            guard let wanted = value("TargetName") else { throw .missingParameter }
            let name = Self.normalized(wanted)
            wantedName = name ?? ""
            guard let wanted = name, let found = context.provider.target(named: wanted) else {
                throw context.provider.knowsAllTargets ? .notFound : .serviceUnavailable
            }
            if let allowed = found.allowedInitiators, !allowed.contains(initiatorName) { throw .authorizationFailure }
            targetName = wanted
            target = found
        }
        guard context.throttle.allows(origin, now: now) else { throw .serviceUnavailable }
        if let identity, identity.tsih != 0 {
            // Another connection for a session, where one is all that a session has (MaxConnections).
            let isKnown = context.sessions.contains(
                tsih: identity.tsih, initiator: initiatorName, isid: identity.isid, target: targetName)
            throw isKnown ? .tooManyConnections : .sessionDoesNotExist
        }
    }

    /// A name as it is compared: iSCSI names are lower case (RFC 7143 4.2.7.1). nil if it can be none.
    static func normalized(_ name: String) -> String? {
        guard (1...ISCSILimits.nameBytesMax).contains(name.utf8.count) else { return nil }
        guard name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { return nil }
        return name.lowercased()
    }

    private static let openingKeys: Set<String> = ["InitiatorName", "InitiatorAlias", "SessionType", "TargetName"]
    private static let proofKeys: Set<String> = ["CHAP_A", "CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"]

    /// The security stage.
    private mutating func secure(_ pairs: [(key: String, value: String)], _ text: inout [UInt8]) throws(Status) {
        var proof: [String: String] = [:]
        for (key, value) in pairs {
            if Self.openingKeys.contains(key) {
                continue
            } else if key == "AuthMethod" {
                TextPairs.append(key, try chooseMethod(value), to: &text)
            } else if Self.proofKeys.contains(key) {
                proof[key] = value
            } else {
                // Nothing is negotiated before it is known with whom; only what nobody understands is answered.
                var scratch = SessionParameters()
                guard scratch.negotiate(key, value, isDiscovery: isDiscovery) == .value("NotUnderstood") else {
                    throw .initiatorError
                }
                TextPairs.append(key, "NotUnderstood", to: &text)
            }
        }
        if !proof.isEmpty { try authenticate(proof, &text) }
    }

    private mutating func chooseMethod(_ offered: String) throws(Status) -> String {
        guard !isMethodChosen else { throw .initiatorError }
        isMethodChosen = true
        let choices = offered.split(separator: ",")
        let canProve = isDiscovery || target?.account != nil
        let choice = choices.first { $0 == "CHAP" && canProve || $0 == "None" && !needsAuthentication }
        guard let choice else { throw .authenticationFailure }
        if choice == "CHAP" {
            let random = context.configuration.randomBytes(ISCSILimits.challengeBytes + 1)
            chap = CHAP(allowsMD5: context.configuration.allowsMD5, random: random)
        }
        return String(choice)
    }

    private mutating func authenticate(_ keys: [String: String], _ text: inout [UInt8]) throws(Status) {
        guard var chap, !isAuthenticated else { throw .initiatorError }
        do throws(CHAP.Refusal) {
            if let offered = keys["CHAP_A"] {
                guard keys.count == 1 else { throw .malformed }
                for (key, value) in try chap.choose(offered) { TextPairs.append(key, value, to: &text) }
                self.chap = chap
                return
            }
            guard chap.isChallenged, let name = keys["CHAP_N"], let response = keys["CHAP_R"] else { throw .malformed }
            let account: CHAPAccount? =
                isDiscovery ? context.provider.discoveryAccount(named: name) : target?.account
            let proof = CHAP.Proof(
                name: name, response: response, identifier: keys["CHAP_I"], challenge: keys["CHAP_C"])
            for (key, value) in try chap.verify(proof, account: account) { TextPairs.append(key, value, to: &text) }
            isAuthenticated = true
            provenAccount = name
        } catch {
            refusal = error.reason
            throw .authenticationFailure
        }
    }

    /// The operational stage.
    private mutating func negotiate(_ pairs: [(key: String, value: String)], _ text: inout [UInt8]) throws(Status) {
        for (key, value) in pairs where !Self.openingKeys.contains(key) {
            guard key != "AuthMethod", !Self.proofKeys.contains(key) else { throw .initiatorError }
            switch parameters.negotiate(key, value, isDiscovery: isDiscovery) {
            case .value(let answer): TextPairs.append(key, answer, to: &text)
            case .none: break
            case .violation: throw .initiatorError
            }
        }
        if !hasDeclared {
            hasDeclared = true
            parameters.ownDataSegmentBytes = ISCSILimits.dataSegmentBytesMax
            TextPairs.append("MaxRecvDataSegmentLength", String(ISCSILimits.dataSegmentBytesMax), to: &text)
        }
    }
}
