import BlockDevices
import Foundation
import Primitives
import SCSI
import Testing

/// A logical unit over a device in memory, and commands that wait for their end.
final class Rig: Sendable {
    let device: MemoryBlockDevice
    let threads: WorkThreads
    let store: MemoryReservationStore
    let unit: LogicalUnit

    /// How much is done: 1 in the test command, more with APUS_TORTURE=n.
    static var scale: Int { ProcessInfo.processInfo.environment["APUS_TORTURE"].flatMap { Int($0) } ?? 1 }

    init(
        _ geometry: BlockGeometry = BlockGeometry(byteCount: 4 << 20), store: MemoryReservationStore = .init(),
        threads: WorkThreads = WorkThreads(name: "scsi-test", count: 2, queueMax: 1024)
    ) throws {
        device = MemoryBlockDevice(geometry)
        self.threads = threads
        self.store = store
        unit = try LogicalUnit(
            device: device,
            identity: LogicalUnitIdentity(
                vendor: "APUS", product: "VOLUME", revision: "1", serial: "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            store: store, threads: threads)
    }

    deinit { threads.stop() }

    /// A session whose unit attention of power-on was told already.
    func session(
        _ number: UInt64 = 1, port: UInt16 = 1, isReadOnly: Bool = false, abort: @escaping TaskAbort = { $0() }
    ) -> Session {
        let session = newSession(number, port: port, isReadOnly: isReadOnly, abort: abort)
        _ = session.run([0, 0, 0, 0, 0, 0])
        return session
    }

    func newSession(
        _ number: UInt64 = 1, port: UInt16 = 1, isReadOnly: Bool = false, abort: @escaping TaskAbort = { $0() }
    ) -> Session {
        Session(
            self,
            unit.attach(
                initiator: InitiatorPort(name: "iqn.2026-01.test:host\(number)", isid: 0x8000_0000_0000 + number),
                target: TargetPort(name: "iqn.2026-01.test:target\(port)", portalGroupTag: 1, relativeID: port),
                isReadOnly: isReadOnly, abort: abort))
    }
}

/// What a command ended with.
struct Outcome: Sendable {
    var response: SCSIResponse
    /// The data-in, cut to `dataInCount`.
    var data: [UInt8]
    var status: SCSIStatus { response.status }
    /// Key and code, whatever the format; nil without sense data.
    var sense: (key: UInt8, code: UInt16)? {
        let bytes = response.sense
        guard bytes.count >= 8 else { return nil }
        switch bytes[0] & 0x7F {
        case 0x70: return (bytes[2] & 0x0F, UInt16(bytes[12]) << 8 | UInt16(bytes[13]))
        case 0x72: return (bytes[1] & 0x0F, UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
        default: return nil
        }
    }
    var isGood: Bool { status == .good }

    func failed(_ key: UInt8, _ code: UInt16) -> Bool {
        status == .checkCondition && sense.map { $0 == (key, code) } ?? false
    }

    func number(_ at: Int, _ count: Int) -> UInt64 { data[at..<at + count].reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A nexus, as a transport uses it.
final class Session: Sendable {
    let nexus: any Nexus
    /// Its threads must outlive the session.
    private let rig: Rig

    init(_ rig: Rig, _ nexus: any Nexus) {
        self.rig = rig
        self.nexus = nexus
    }

    /// Runs a command to its end. Without `expects`, the initiator takes whatever comes.
    func run(_ cdb: [UInt8], _ dataOut: [UInt8] = [], expects: Int = 16 << 20, lun: UInt64 = 0) -> Outcome {
        start(cdb, dataOut, expects: expects, lun: lun).wait()
    }

    /// - Parameter isGivenUp: the initiator has aborted it by the time it starts.
    func start(
        _ cdb: [UInt8], _ dataOut: [UInt8] = [], expects: Int = 16 << 20, lun: UInt64 = 0, isGivenUp: Bool = false
    ) -> Pending {
        let pending = Pending(isGivenUp: isGivenUp)
        let command = SCSICommand(
            cdb: cdb, lun: lun, attribute: .simple, dataOutExpected: dataOut.count, dataInExpected: expects)
        let response = dataOut.withUnsafeBytes {
            nexus.execute(command, dataOut: $0, dataIn: pending.buffer, sink: InlineSink.shared) {
                pending.finish($0)
            }
        }
        if let response { pending.finish(response) }
        return pending
    }
}

/// A command under way.
final class Pending: Sendable {
    let buffer: TestBuffer
    private let mutex = PosixMutex()
    private let result = PosixGuarded<SCSIResponse?>(nil)

    init(isGivenUp: Bool) { buffer = TestBuffer(isGivenUp: isGivenUp) }

    func finish(_ response: SCSIResponse) {
        mutex.withLock {
            precondition(self.result.value == nil, "a command ended twice")
            result.value = response
            mutex.broadcast()
        }
    }

    var isDone: Bool { mutex.withLock { result.value != nil } }

    func wait() -> Outcome {
        let response = mutex.withLock { () -> SCSIResponse in
            while true {
                if let response = result.value { return response }
                mutex.wait()
            }
        }
        return Outcome(response: response, data: buffer.bytes(response.dataInCount))
    }
}

/// Memory for data-in that knows how it was asked for.
final class TestBuffer: DataInBuffer {
    private let memory = PosixLocked<UnsafeMutableRawBufferPointer?>(nil)
    let isGivenUp: Bool

    init(isGivenUp: Bool) { self.isGivenUp = isGivenUp }

    func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        precondition(count > 0 && count <= SCSILimits.dataInBytesMax, "reserve(\(count))")
        return memory.withLock { memory in
            precondition(memory == nil, "memory was asked for twice")
            let new = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            // What is not written shows.
            new.initializeMemory(as: UInt8.self, repeating: 0xDB)
            memory = new
            return new
        }
    }

    var reserved: Int { memory.withLock { $0?.count ?? 0 } }

    func bytes(_ count: Int) -> [UInt8] {
        memory.withLock { memory in
            guard let memory else {
                precondition(count == 0, "data without memory")
                return []
            }
            precondition(count <= memory.count, "more data than memory")
            return [UInt8](UnsafeRawBufferPointer(rebasing: memory[..<count]))
        }
    }

    deinit { memory.withLock { $0?.deallocate() } }
}

struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// Big-endian bytes.
func be<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) } }

func filled(_ byte: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }

/// CDBs by name; `flags` is byte 1.
enum Make {
    static func ten(_ code: UInt8, _ lba: UInt32, _ blocks: UInt16, flags: UInt8 = 0) -> [UInt8] {
        [code, flags] + be(lba) + [0] + be(blocks) + [0]
    }
    static func twelve(_ code: UInt8, _ lba: UInt32, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        [code, flags] + be(lba) + be(blocks) + [0, 0]
    }
    static func sixteen(_ code: UInt8, _ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        [code, flags] + be(lba) + be(blocks) + [0, 0]
    }
    static func read(_ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        sixteen(0x88, lba, blocks, flags: flags)
    }
    static func write(_ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        sixteen(0x8A, lba, blocks, flags: flags)
    }
    static func compareAndWrite(_ lba: UInt64, _ blocks: UInt8) -> [UInt8] {
        [0x89, 0] + be(lba) + [0, 0, 0, blocks, 0, 0]
    }
    static func inquiry(_ page: UInt8? = nil, _ allocation: UInt16 = 255) -> [UInt8] {
        [0x12, page == nil ? 0 : 1, page ?? 0] + be(allocation) + [0]
    }
    static func unmap(_ ranges: [(UInt64, UInt32)], length: UInt16? = nil) -> (cdb: [UInt8], list: [UInt8]) {
        var descriptors: [UInt8] = []
        for range in ranges { descriptors += be(range.0) + be(range.1) + [0, 0, 0, 0] }
        let list = be(UInt16(descriptors.count + 6)) + be(UInt16(descriptors.count)) + [0, 0, 0, 0] + descriptors
        return ([0x42, 0, 0, 0, 0, 0, 0] + be(length ?? UInt16(list.count)) + [0], list)
    }
    static func allocationStatus(_ lba: UInt64, _ allocation: UInt32 = 24) -> [UInt8] {
        [0x9E, 0x12] + be(lba) + be(allocation) + [0, 0]
    }
    static func reserveOut(_ action: UInt8, type: UInt8 = 0, length: UInt32 = 24) -> [UInt8] {
        [0x5F, action, type, 0, 0] + be(length) + [0]
    }
    static func reserveList(_ key: UInt64, _ newKey: UInt64, flags: UInt8 = 0) -> [UInt8] {
        be(key) + be(newKey) + [0, 0, 0, 0, flags, 0, 0, 0]
    }
    static func reserveIn(_ action: UInt8, _ allocation: UInt16 = 8192) -> [UInt8] {
        [0x5E, action, 0, 0, 0, 0, 0] + be(allocation) + [0]
    }
    static let ready: [UInt8] = [0, 0, 0, 0, 0, 0]
}
