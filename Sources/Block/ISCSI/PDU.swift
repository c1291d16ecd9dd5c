// The shape of what goes over the wire: RFC 7143 11.2.

/// RFC 7143 11.2.1.2, both directions.
enum Opcode {
    static let nopOut: UInt8 = 0x00
    static let scsiCommand: UInt8 = 0x01
    static let taskManagement: UInt8 = 0x02
    static let loginRequest: UInt8 = 0x03
    static let textRequest: UInt8 = 0x04
    static let dataOut: UInt8 = 0x05
    static let logoutRequest: UInt8 = 0x06
    static let snack: UInt8 = 0x10
    static let nopIn: UInt8 = 0x20
    static let scsiResponse: UInt8 = 0x21
    static let taskManagementResponse: UInt8 = 0x22
    static let loginResponse: UInt8 = 0x23
    static let textResponse: UInt8 = 0x24
    static let dataIn: UInt8 = 0x25
    static let logoutResponse: UInt8 = 0x26
    static let readyToTransfer: UInt8 = 0x31
    static let asyncMessage: UInt8 = 0x32
    static let reject: UInt8 = 0x3f
}

/// The tag that stands for none.
let reservedTag: UInt32 = 0xffff_ffff

/// A basic header segment where it lies in the receive buffer; valid as long as that is not refilled.
struct BasicHeader {
    let base: UnsafeRawPointer

    var opcode: UInt8 { byte(0) & 0x3f }
    var isImmediate: Bool { byte(0) & 0x40 != 0 }
    var flags: UInt8 { byte(1) }
    /// The F bit, T in a login.
    var isFinal: Bool { flags & 0x80 != 0 }
    /// The C bit of Text and Login Requests.
    var continues: Bool { flags & 0x40 != 0 }
    var additionalBytes: Int { Int(byte(4)) * 4 }
    var dataBytes: Int { Int(byte(5)) << 16 | Int(byte(6)) << 8 | Int(byte(7)) }
    var lun: UInt64 { UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
    var tag: UInt32 { word(16) }
    /// Of Data-Out, NOP-Out and Text; in a SCSI Command the expected length lies here.
    var transferTag: UInt32 { word(20) }
    var commandNumber: UInt32 { word(24) }

    func byte(_ offset: Int) -> UInt8 { base.load(fromByteOffset: offset, as: UInt8.self) }
    func half(_ offset: Int) -> UInt16 {
        UInt16(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    func word(_ offset: Int) -> UInt32 {
        UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}

/// Writes the fields of one basic header segment, which starts as zeros.
struct HeaderWriter {
    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer, opcode: UInt8, flags: UInt8) {
        self.base = base
        base.initializeMemory(as: UInt8.self, repeating: 0, count: ISCSILimits.headerBytes)
        put(opcode, at: 0)
        put(flags, at: 1)
    }

    func put(_ value: UInt8, at offset: Int) { base.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
    func put(half value: UInt16, at offset: Int) {
        base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }
    func put(word value: UInt32, at offset: Int) {
        base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }
    func put(lun value: UInt64) { base.storeBytes(of: value.bigEndian, toByteOffset: 8, as: UInt64.self) }
    func put(tag value: UInt32) { put(word: value, at: 16) }
    func put(transferTag value: UInt32) { put(word: value, at: 20) }
    func put(dataBytes count: Int) {
        put(UInt8(truncatingIfNeeded: count >> 16), at: 5)
        put(UInt8(truncatingIfNeeded: count >> 8), at: 6)
        put(UInt8(truncatingIfNeeded: count), at: 7)
    }
}

/// Serial numbers wrap: RFC 1982 with 32 bits, as RFC 7143 4.2.2.1 asks for.
enum SerialNumber {
    @inline(__always)
    static func isBefore(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) < 0 }
}

/// RFC 7143 11.17.1.
enum RejectReason: UInt8 {
    case dataDigestError = 0x02
    case snackRejected = 0x03
    case protocolError = 0x04
    case commandNotSupported = 0x05
    case tooManyImmediate = 0x06
    case taskInProgress = 0x07
    case invalidField = 0x09
    case outOfResources = 0x0a
    case waitingForLogout = 0x0c
}

@inline(__always)
func padded(_ count: Int) -> Int { (count + 3) & ~3 }
