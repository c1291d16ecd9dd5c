package import Primitives
package import SCSI

/// Who knows the targets: asked at each login and each discovery, on the connection's own thread, so it may take a
/// lock but not wait for long.
package protocol TargetProvider: AnyObject, Sendable {
    /// The target of that name as of now, nil if there is none. Asked a second time when a login is about to succeed, so
    /// that one that was taken away meanwhile is found missing: take it away first, then call `endSessions(target:)`.
    func target(named name: String) -> ISCSITarget?

    /// False while targets are still being opened: one that isn't there is told as unavailable for now, since initiators
    /// give up on what can't be found.
    var knowsAllTargets: Bool { get }

    /// Whether discovery sessions have to authenticate. If not, they see what `visibleTargets` answers for no account.
    var discoveryNeedsAuthentication: Bool { get }

    /// The account that a discovery session may use under this CHAP name.
    func discoveryAccount(named name: String) -> CHAPAccount?

    /// The targets that this initiator may log in to, in a stable order, at most
    /// `ISCSILimits.discoveredTargetsMax`.
    func visibleTargets(to initiator: DiscoveringInitiator) -> [String]
}

extension TargetProvider {
    package var knowsAllTargets: Bool { true }
}

/// Who asks for targets.
package struct DiscoveringInitiator: Sendable, Hashable {
    package var name: String
    /// The CHAP name that it proved; nil if it proved none.
    package var account: String?

    package init(name: String, account: String?) {
        self.name = name
        self.account = account
    }
}

/// A target: a name that initiators log in to, and what they find there.
package struct ISCSITarget: Sendable {
    package var name: String
    /// The relative target port identifier (SPC-4), from 1.
    package var relativePortID: UInt16
    /// nil: whoever may reach the target may use it.
    package var account: CHAPAccount?
    /// The initiator names that may log in; nil: an initiator is known by its account alone.
    package var allowedInitiators: Set<String>?
    /// Its units are write-protected for whoever comes this way.
    package var isReadOnly: Bool
    /// By logical unit number, 0 to 255; at most `ISCSILimits.unitsMax`.
    package var units: [UInt16: any LogicalUnitSource]

    package init(
        name: String, relativePortID: UInt16 = 1, account: CHAPAccount?, allowedInitiators: Set<String>? = nil,
        isReadOnly: Bool = false, units: [UInt16: any LogicalUnitSource]
    ) {
        self.name = name
        self.relativePortID = relativePortID
        self.account = account
        self.allowedInitiators = allowedInitiators
        self.isReadOnly = isReadOnly
        self.units = units
    }
}

/// A name and a secret of an initiator, and those of the target if it proves itself, too.
package struct CHAPAccount: Sendable {
    package struct Mutual: Sendable {
        package var name: String
        package var secret: Secret

        package init(name: String, secret: Secret) {
            self.name = name
            self.secret = secret
        }
    }

    package var name: String
    package var secret: Secret
    package var mutual: Mutual?

    package init(name: String, secret: Secret, mutual: Mutual? = nil) {
        self.name = name
        self.secret = secret
        self.mutual = mutual
    }

    func matches(_ other: CHAPAccount) -> Bool {
        name == other.name && secret.matches(other.secret) && mutual?.name == other.mutual?.name
            && (mutual?.secret.bytes ?? []) == (other.mutual?.secret.bytes ?? [])
    }
}

/// A logical unit as a transport needs it: something that initiators can be attached to. Two targets that lead to the same
/// unit hold the same instance, so that a reset reaches the commands of both.
package protocol LogicalUnitSource: AnyObject, Sendable {
    /// - Parameter abort: called, on any thread, when another initiator preempts this one and aborts its commands.
    func attach(
        initiator: InitiatorPort, target: TargetPort, isReadOnly: Bool, abort: @escaping TaskAbort
    ) -> any Nexus
}

extension LogicalUnit: LogicalUnitSource {}
