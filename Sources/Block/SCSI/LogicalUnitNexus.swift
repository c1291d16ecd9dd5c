import BlockDevices
import Primitives
import Synchronization

/// What a command of one nexus has to look at first: nothing, as a rule, and that is one load.
struct Gate: Sendable, Hashable {
    var hasAttention: Bool
    var restriction: Restriction

    var rawValue: UInt32 { (hasAttention ? 1 : 0) | restriction.rawValue << 1 }

    init(hasAttention: Bool, restriction: Restriction) {
        self.hasAttention = hasAttention
        self.restriction = restriction
    }

    init(rawValue: UInt32) {
        hasAttention = rawValue & 1 != 0
        restriction = Restriction(rawValue: rawValue >> 1) ?? .legacy
    }
}

/// A session's way to the logical unit: takes commands, applies the rules that come before every command, and has it done.
final class LogicalUnitNexus: Nexus {
    let unit: LogicalUnit
    let initiator: InitiatorPort
    let target: TargetPort
    let name: NexusName
    let isReadOnly: Bool
    let abort: TaskAbort
    /// Under the unit's mutex.
    let attentions = PosixGuarded<[Attention]>([])
    /// Results of copies by LIST IDENTIFIER.
    let copyResults = PosixLocked<[UInt8: CopyResult]>([:])
    private let gate = Atomic<UInt32>(0)

    init(
        unit: LogicalUnit, initiator: InitiatorPort, target: TargetPort, isReadOnly: Bool, abort: @escaping TaskAbort
    ) {
        self.unit = unit
        self.initiator = initiator
        self.target = target
        self.isReadOnly = isReadOnly
        self.abort = abort
        name = NexusName(initiator: initiator, target: target)
    }

    /// Under the unit's mutex.
    func set(gate: Gate) { self.gate.store(gate.rawValue, ordering: .releasing) }

    /// Under the unit's mutex.
    func add(_ attention: Attention) {
        guard attentions.value.count < SCSILimits.attentionsMax, !attentions.value.contains(attention) else { return }
        attentions.value.append(attention)
    }

    /// SPC-4 6.18.2: held results go with the nexus, and with a reset.
    func forgetCopies() { copyResults.withLock { $0 = [:] } }

    func resetLogicalUnit() { unit.reset() }
    func clearedTaskSet() { unit.announce(.commandsCleared, but: self) }
    func detach() { unit.detach(self) }

    func execute(
        _ command: SCSICommand, dataOut: UnsafeRawBufferPointer, dataIn: any DataInBuffer, sink: any CompletionSink,
        completion: @escaping @Sendable (SCSIResponse) -> Void
    ) -> SCSIResponse? {
        let exchange = Exchange(
            unit: unit, nexus: self, cdb: CDB(command.cdb), command: command, dataIn: dataIn, sink: sink,
            completion: completion)
        do throws(Sense) {
            // Most commands by far, and nothing is the matter.
            if gate.load(ordering: .acquiring) == 0, command.lun == 0, let done = try exchange.transfer(dataOut) {
                return done.response
            }
            return try examine(exchange, dataOut)
        } catch {
            return exchange.fail(error)
        }
    }

    /// SPC-4 and SAM-5: which of the things that may stand in a command's way comes first.
    private func examine(_ x: Exchange, _ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard isZero(lun: x.command.lun) else { return try x.withoutLogicalUnit() }
        let gate = Gate(rawValue: gate.load(ordering: .acquiring))
        if gate.hasAttention, !x.ignoresAttention, let attention = unit.takeAttention(of: self) {
            throw attention.sense
        }
        guard let command = Command.find(x.cdb, isThin: unit.device.geometry.isThin) else { throw x.unknownCommand }
        guard x.cdb.bytes.count >= command.usage.count else { throw .field(0) }
        guard !x.cdb.bit(command.usage.count - 1, 2) else { throw .field(command.usage.count - 1, bit: 2) }
        guard !gate.restriction.refuses(x.access(of: command)) else { return x.conflict }
        if let done = try x.transfer(dataOut) { return done.response }
        return try x.perform(dataOut)
    }

    /// LUN 0 by peripheral device or by flat space addressing (SAM-5 4.7).
    private func isZero(lun: UInt64) -> Bool { lun == 0 || lun == 0x4000_0000_0000_0000 }
}
