import Testing

@testable import ImageFormats

/// Bytes of images, built by hand.
enum Made {
    static func big(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }
    static func little(_ value: UInt64, _ count: Int) -> [UInt8] { big(value, count).reversed() }

    static func put(_ bytes: [UInt8], at start: Int, in image: inout [UInt8]) {
        if image.count < start + bytes.count {
            image += [UInt8](repeating: 0, count: start + bytes.count - image.count)
        }
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
    }

    static func qcow2Header(
        version: UInt64 = 3, backing: UInt64 = 0, bits: UInt64 = 16, size: UInt64 = 1 << 20, features: UInt64 = 0
    ) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 512)
        put(
            Array("QFI".utf8) + [0xFB] + big(version, 4) + big(backing, 8) + big(backing == 0 ? 0 : 10, 4), at: 0,
            in: &image)
        put(big(bits, 4) + big(size, 8) + big(0, 4) + big(1, 4) + big(3 << bits, 8), at: 20, in: &image)
        if version == 3 {
            put(big(features, 8), at: 72, in: &image)
            put(big(4, 4) + big(112, 4), at: 96, in: &image)
        }
        return image
    }

    static func vmdk(
        kind: String = "monolithicSparse", extent: String = "RW 2048 SPARSE \"disk.vmdk\"", sector: UInt64 = 1,
        more: String = "", directory: UInt64 = 21
    ) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 64 << 10)
        put(Array("KDMV".utf8) + little(1, 4) + little(3, 4) + little(2_048, 8) + little(128, 8), at: 0, in: &image)
        put(
            little(sector, 8) + little(20, 8) + little(512, 4) + little(0, 8) + little(directory, 8), at: 28, in: &image
        )
        let text = """
            # Disk DescriptorFile
            version=1
            CID=fffffffe
            parentCID=ffffffff
            createType="\(kind)"
            \(more)
            \(extent)
            ddb.adapterType = "ide"

            """
        put(Array(text.utf8), at: Int(sector) * 512, in: &image)
        return image
    }

    static func vhdx(size: UInt64 = 8 << 30, hasParent: Bool = false) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 2 << 20)
        put(Array("vhdxfile".utf8), at: 0, in: &image)
        let metadata: [UInt8] = [
            0x06, 0xA2, 0x7C, 0x8B, 0x90, 0x47, 0x9A, 0x4B, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E,
        ]
        put(little(0x6967_6572, 4) + little(0, 4) + little(1, 4) + little(0, 4), at: 192 << 10, in: &image)
        put(metadata + little(1 << 20, 8) + little(1 << 20, 4) + little(1, 4), at: (192 << 10) + 16, in: &image)
        let start = 1 << 20
        put(Array("metadata".utf8) + little(0, 2) + little(2, 2), at: start, in: &image)
        let sizeItem: [UInt8] = [
            0x24, 0x42, 0xA5, 0x2F, 0x1B, 0xCD, 0x76, 0x48, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8,
        ]
        let parameters: [UInt8] = [
            0x37, 0x67, 0xA1, 0xCA, 0x36, 0xFA, 0x43, 0x4D, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B,
        ]
        put(parameters + little(65_536, 4) + little(8, 4), at: start + 32, in: &image)
        put(sizeItem + little(65_544, 4) + little(8, 4), at: start + 64, in: &image)
        put(little(1 << 25, 4) + little(hasParent ? 2 : 0, 4) + little(size, 8), at: start + 65_536, in: &image)
        return image
    }

    static func vhd(type: UInt64 = 3) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 4_096)
        put(Array("conectix".utf8), at: 0, in: &image)
        put(big(5 << 20, 8), at: 40, in: &image)
        put(big(type, 4), at: 60, in: &image)
        return image
    }

    static func vdi(type: UInt64 = 1) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 4_096)
        put(little(0xBEDA_107F, 4), at: 0x40, in: &image)
        put(little(type, 4), at: 0x4C, in: &image)
        put(little(7 << 20, 8), at: 0x170, in: &image)
        return image
    }

    static func iso(with start: [UInt8] = []) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 40_960)
        put(start, at: 0, in: &image)
        put([1] + Array("CD001".utf8), at: 32_768, in: &image)
        put(little(20, 4), at: 32_768 + 80, in: &image)
        put(little(2_048, 2), at: 32_768 + 128, in: &image)
        return image
    }

    static func mbr() -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 8_192)
        put([0x00, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 15, 0, 0, 0], at: 446, in: &image)
        put([0x55, 0xAA], at: 510, in: &image)
        return image
    }

    static func luks(version: UInt64) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 8_192)
        put([0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE] + big(version, 2), at: 0, in: &image)
        put(big(8, 4), at: 104, in: &image)
        return image
    }
}

/// What was tried on others (image-api.md's section 8, and the advisories behind it), each with what must come of it.
struct AttackImage: Sendable, CustomTestStringConvertible {
    var name: String
    /// As the record declares it.
    var declared: String
    var bytes: [UInt8]
    /// Beginning of the refusal's words.
    var answer: String

    var testDescription: String { name }

    static let all: [AttackImage] = [
        AttackImage(
            name: "qcow2 with a backing file", declared: "qcow2", bytes: Made.qcow2Header(backing: 512),
            answer: "the qcow2 image reaches outside itself: it has a backing file"),
        AttackImage(
            name: "qcow2, version 2, with a backing file", declared: "qcow2",
            bytes: Made.qcow2Header(version: 2, backing: 512),
            answer: "the qcow2 image reaches outside itself: it has a backing file"),
        AttackImage(
            name: "qcow2 with a backing file that claims to be raw", declared: "raw",
            bytes: Made.qcow2Header(backing: 512),
            answer: "the qcow2 image reaches outside itself: it has a backing file"),
        AttackImage(
            name: "qcow2 with an external data file", declared: "qcow2", bytes: Made.qcow2Header(features: 4),
            answer: "the qcow2 image reaches outside itself: it has an external data file"),
        AttackImage(
            name: "qcow2 with an external data file that claims to be raw", declared: "raw",
            bytes: Made.qcow2Header(features: 4),
            answer: "the qcow2 image reaches outside itself: it has an external data file"),
        AttackImage(
            name: "qcow2 with extended second tables", declared: "qcow2", bytes: Made.qcow2Header(features: 16),
            answer: "the qcow2 image uses what is not known here: incompatible features 16"),
        AttackImage(
            name: "qcow2 with an unknown incompatible feature", declared: "qcow2",
            bytes: Made.qcow2Header(features: 1 << 63), answer: "the qcow2 image uses what is not known here"),
        AttackImage(
            name: "qcow2 of version 1", declared: "qcow2", bytes: Made.qcow2Header(version: 1),
            answer: "the qcow2 image uses what is not known here: version 1"),
        AttackImage(
            name: "qcow2 of 2^63 bytes", declared: "qcow2", bytes: Made.qcow2Header(size: 1 << 63),
            answer: "the qcow2 image is malformed: its size"),
        AttackImage(
            name: "qcow2, cut off", declared: "qcow2", bytes: Array(Made.qcow2Header().prefix(20)),
            answer: "the qcow2 image is malformed: its header is cut off"),
        AttackImage(
            name: "QED", declared: "raw", bytes: Array("QED\0".utf8) + [UInt8](repeating: 0, count: 600),
            answer: "images of the format qed are not taken"),
        AttackImage(
            name: "VMDK that describes a file of the host", declared: "vmdk",
            bytes: Array(
                "# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/passwd\" 0\n".utf8),
            answer: "the vmdk image reaches outside itself: it is a description of other files"),
        AttackImage(
            name: "the same that claims to be raw", declared: "raw",
            bytes: Array(
                "# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/passwd\" 0\n".utf8),
            answer: "the vmdk image reaches outside itself: it is a description of other files"),
        AttackImage(
            name: "VMDK whose extent is a path", declared: "vmdk",
            bytes: Made.vmdk(extent: "RW 2048 SPARSE \"/etc/shadow\""),
            answer: "the vmdk image reaches outside itself: the name of an extent is a path"),
        AttackImage(
            name: "VMDK of a flat kind in a sparse header", declared: "vmdk", bytes: Made.vmdk(kind: "monolithicFlat"),
            answer: "the vmdk image reaches outside itself: it is of the kind monolithicflat"),
        AttackImage(
            name: "VMDK with its description elsewhere", declared: "vmdk", bytes: Made.vmdk(sector: 4),
            answer: "the vmdk image is malformed: its description is not where it should be"),
        AttackImage(
            name: "VMDK with a parent", declared: "vmdk", bytes: Made.vmdk(more: "parentFileNameHint=\"other.vmdk\""),
            answer: "the vmdk image reaches outside itself: it has a parent"),
        AttackImage(
            name: "VMDK without extents", declared: "vmdk", bytes: Made.vmdk(extent: ""),
            answer: "the vmdk image reaches outside itself: it has 0 extents"),
        AttackImage(
            name: "VMDK with a line that means nothing", declared: "vmdk", bytes: Made.vmdk(more: "exec rm"),
            answer: "the vmdk image is malformed: a line of its description"),
        AttackImage(
            name: "VMDK whose footer is missing", declared: "vmdk",
            bytes: Made.vmdk(kind: "streamOptimized", directory: .max),
            answer: "the vmdk image is malformed: it has no footer"),
        AttackImage(
            name: "VHD that is a difference", declared: "vhd", bytes: Made.vhd(type: 4),
            answer: "the vhd image reaches outside itself"),
        AttackImage(
            name: "VHDX that is a difference", declared: "vhdx", bytes: Made.vhdx(hasParent: true),
            answer: "the vhdx image reaches outside itself"),
        AttackImage(
            name: "VDI that is a difference", declared: "vdi", bytes: Made.vdi(type: 4),
            answer: "the vdi image reaches outside itself"),
        AttackImage(
            name: "LUKS of version 2", declared: "raw", bytes: Made.luks(version: 2),
            answer: "the luks image uses what is not known here: version 2"),
        AttackImage(
            name: "a disc that is a qcow2 too", declared: "iso", bytes: Made.iso(with: Made.qcow2Header()),
            answer: "the image is several things at once: qcow2, iso"),
        AttackImage(
            name: "a disk with partitions that is a qcow2 too", declared: "raw",
            bytes: Array(Made.qcow2Header().prefix(446)) + Array(Made.mbr()[446...]),
            answer: "the image is several things at once: qcow2, gpt"),
    ]
}
