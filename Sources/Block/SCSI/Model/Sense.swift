import BlockDevices

/// Why a command ended with CHECK CONDITION (SPC-4 4.5): what becomes sense data in the format the initiator chose.
struct Sense: Error, Sendable, Hashable {
    /// SPC-4 table 47.
    enum Key: UInt8, Sendable {
        case noSense = 0x0
        case notReady = 0x2
        case mediumError = 0x3
        case hardwareError = 0x4
        case illegalRequest = 0x5
        case unitAttention = 0x6
        case dataProtect = 0x7
        case copyAborted = 0xA
        case abortedCommand = 0xB
        case miscompare = 0xE
    }

    /// Where an illegal field is (SPC-4 4.5.2.4.2).
    struct Field: Sendable, Hashable {
        var isInCDB: Bool
        var byte: UInt16
        var bit: UInt8?
    }

    var key: Key
    /// ADDITIONAL SENSE CODE and its qualifier, as one number: 0x2100 is LOGICAL BLOCK ADDRESS OUT OF RANGE.
    var code: UInt16
    var information: UInt64?
    var field: Field?

    init(_ key: Key, _ code: UInt16, information: UInt64? = nil, field: Field? = nil) {
        self.key = key
        self.code = code
        self.information = information
        self.field = field
    }

    static let none = Sense(.noSense, 0x0000)
    static let invalidOperationCode = Sense(.illegalRequest, 0x2000)
    static let outOfRange = Sense(.illegalRequest, 0x2100)
    static let logicalUnitNotSupported = Sense(.illegalRequest, 0x2500)
    static let parameterListLength = Sense(.illegalRequest, 0x1A00)
    static let savingNotSupported = Sense(.illegalRequest, 0x3900)
    static let invalidRelease = Sense(.illegalRequest, 0x2604)
    static let tooManyTargets = Sense(.illegalRequest, 0x2606)
    static let unsupportedTarget = Sense(.illegalRequest, 0x2607)
    static let tooManySegments = Sense(.illegalRequest, 0x2608)
    static let unsupportedSegment = Sense(.illegalRequest, 0x2609)
    static let inlineDataTooLong = Sense(.illegalRequest, 0x260B)
    static let insufficientRegistrations = Sense(.illegalRequest, 0x5504)
    static let writeProtected = Sense(.dataProtect, 0x2700)
    static let softwareWriteProtected = Sense(.dataProtect, 0x2702)
    static let internalFailure = Sense(.hardwareError, 0x4400)
    /// INVALID FIELD IN COMMAND INFORMATION UNIT: the transport brought less than the CDB asks for, and that can't be
    /// used (FCP-4 9.4.2 has the rule that all transports follow).
    static let dataTooShort = Sense(.illegalRequest, 0x0E03)
    static let unreachableCopyTarget = Sense(.copyAborted, 0x0804)
    static let copyFailed = Sense(.copyAborted, 0x0000)

    static func field(_ byte: Int, bit: UInt8? = nil) -> Sense {
        Sense(.illegalRequest, 0x2400, field: Field(isInCDB: true, byte: UInt16(truncatingIfNeeded: byte), bit: bit))
    }

    static func parameter(_ byte: Int, bit: UInt8? = nil) -> Sense {
        Sense(.illegalRequest, 0x2600, field: Field(isInCDB: false, byte: UInt16(truncatingIfNeeded: byte), bit: bit))
    }

    /// MISCOMPARE DURING VERIFY OPERATION; SBC-3 5.2 wants the offset of the first byte that differs.
    static func miscompare(at offset: Int) -> Sense {
        Sense(.miscompare, 0x1D00, information: UInt64(offset))
    }

    /// SPC-4 4.5: fixed (70h) or descriptor (72h) format, current errors.
    func bytes(descriptor: Bool) -> [UInt8] {
        descriptor ? descriptorBytes : fixedBytes
    }

    private var fixedBytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 18)
        bytes[0] = 0x70
        bytes[2] = key.rawValue
        // What does not fit into the field is left out, and said to be.
        if let information, information <= UInt64(UInt32.max) {
            bytes[0] |= 0x80
            for index in 0..<4 { bytes[3 + index] = UInt8(truncatingIfNeeded: information >> UInt64(24 - 8 * index)) }
        }
        bytes[7] = UInt8(bytes.count - 8)
        bytes[12] = UInt8(code >> 8)
        bytes[13] = UInt8(truncatingIfNeeded: code)
        if let field { bytes.replaceSubrange(15..<18, with: field.bytes) }
        return bytes
    }

    private var descriptorBytes: [UInt8] {
        var bytes: [UInt8] = [0x72, key.rawValue, UInt8(code >> 8), UInt8(truncatingIfNeeded: code), 0, 0, 0, 0]
        if let information {
            bytes += [0x00, 0x0A, 0x80, 0x00]
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: information >> shift))
            }
        }
        if let field { bytes += [0x02, 0x06, 0, 0] + field.bytes + [0] }
        bytes[7] = UInt8(bytes.count - 8)
        return bytes
    }
}

extension Sense.Field {
    /// SKSV, C/D, BPV, BIT POINTER, FIELD POINTER.
    fileprivate var bytes: [UInt8] {
        [
            0x80 | (isInCDB ? 0x40 : 0) | (bit.map { 0x08 | $0 & 0x07 } ?? 0), UInt8(byte >> 8),
            UInt8(truncatingIfNeeded: byte),
        ]
    }
}

/// What a device's failure is to an initiator; nil: BUSY, try again.
extension Sense {
    static func of(_ error: BlockError, blockBytes: UInt32) -> Sense? {
        switch error {
        case .outOfRange: .outOfRange
        case .unreadable(let offset): Sense(.mediumError, 0x1100, information: offset / UInt64(blockBytes))
        case .writeFailed: Sense(.mediumError, 0x0C00)
        case .noSpace: Sense(.dataProtect, 0x2707)
        case .readOnly: .writeProtected
        case .overloaded: nil
        case .gone: .logicalUnitNotSupported
        }
    }
}

/// Conditions that a nexus is told of once (SAM-5 5.14).
enum Attention: UInt16, Sendable, CaseIterable {
    case powerOn = 0x2900
    case logicalUnitReset = 0x2903
    case modeParametersChanged = 0x2A01
    case reservationsPreempted = 0x2A03
    case reservationsReleased = 0x2A04
    case registrationsPreempted = 0x2A05
    case capacityChanged = 0x2A09
    case commandsCleared = 0x2F00

    var sense: Sense { Sense(.unitAttention, rawValue) }
}
