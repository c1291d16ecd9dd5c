/// A command descriptor block with its fields read big-endian; what lies beyond its end reads as zero.
struct CDB: Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var operationCode: UInt8 { self[0] }

    @inline(__always)
    subscript(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

    func bit(_ index: Int, _ bit: UInt8) -> Bool { self[index] & (1 << bit) != 0 }

    /// The service action, where the operation code has them: the low five bits of byte 1.
    var serviceAction: UInt8 { self[1] & 0x1F }

    @inline(__always)
    func uint16(_ at: Int) -> UInt16 { UInt16(self[at]) << 8 | UInt16(self[at + 1]) }
    func uint24(_ at: Int) -> UInt32 { UInt32(self[at]) << 16 | UInt32(uint16(at + 1)) }
    @inline(__always)
    func uint32(_ at: Int) -> UInt32 { UInt32(uint16(at)) << 16 | UInt32(uint16(at + 2)) }
    @inline(__always)
    func uint64(_ at: Int) -> UInt64 { UInt64(uint32(at)) << 32 | UInt64(uint32(at + 4)) }

    /// How long a CDB with this operation code is (SPC-4 4.2.5.1); nil for groups that have no fixed length.
    static func length(of operationCode: UInt8) -> Int? {
        switch operationCode >> 5 {
        case 0: 6
        case 1, 2: 10
        case 4: 16
        case 5: 12
        default: nil
        }
    }
}

/// The blocks a command is about, as its CDB has them: nothing checked yet.
struct Extent: Sendable, Hashable {
    var lba: UInt64
    var blocks: UInt64
    /// Where in the CDB the number of blocks stands, for sense data.
    var lengthByte: Int

    /// Reads LBA and TRANSFER LENGTH of the 6, 10, 12 and 16-byte forms that READ, WRITE and VERIFY share.
    init(_ cdb: CDB) {
        switch cdb.operationCode >> 5 {
        case 0:
            lba = UInt64(cdb.uint24(1) & 0x1F_FFFF)
            blocks = cdb[4] == 0 ? 256 : UInt64(cdb[4])
            lengthByte = 4
        case 1, 2:
            lba = UInt64(cdb.uint32(2))
            blocks = UInt64(cdb.uint16(7))
            lengthByte = 7
        case 5:
            lba = UInt64(cdb.uint32(2))
            blocks = UInt64(cdb.uint32(6))
            lengthByte = 6
        default:
            lba = cdb.uint64(2)
            blocks = UInt64(cdb.uint32(10))
            lengthByte = 10
        }
    }

    init(lba: UInt64, blocks: UInt64, lengthByte: Int) {
        self.lba = lba
        self.blocks = blocks
        self.lengthByte = lengthByte
    }
}

/// Parameter lists and data-in are put together and taken apart big-endian.
extension [UInt8] {
    mutating func put16(_ value: UInt16) {
        append(UInt8(value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func put32(_ value: UInt32) {
        put16(UInt16(value >> 16))
        put16(UInt16(truncatingIfNeeded: value))
    }

    mutating func put64(_ value: UInt64) {
        put32(UInt32(value >> 32))
        put32(UInt32(truncatingIfNeeded: value))
    }

    mutating func set16(_ at: Int, _ value: UInt16) {
        self[at] = UInt8(value >> 8)
        self[at + 1] = UInt8(truncatingIfNeeded: value)
    }

    mutating func set32(_ at: Int, _ value: UInt32) {
        set16(at, UInt16(value >> 16))
        set16(at + 2, UInt16(truncatingIfNeeded: value))
    }

    mutating func set64(_ at: Int, _ value: UInt64) {
        set32(at, UInt32(value >> 32))
        set32(at + 4, UInt32(truncatingIfNeeded: value))
    }

    func get16(_ at: Int) -> UInt16 { CDB(self).uint16(at) }
    func get32(_ at: Int) -> UInt32 { CDB(self).uint32(at) }
    func get64(_ at: Int) -> UInt64 { CDB(self).uint64(at) }
}
