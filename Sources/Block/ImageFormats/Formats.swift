/// QEMU's format, versions 2 and 3 (QEMU's docs/interop/qcow2.txt).
enum QCOW2 {
    static func look(_ stream: Stream) -> Finding? {
        let head = stream.head
        guard head.big32(0) == 0x5146_49FB else { return nil }
        guard let version = head.big32(4), let backing = head.big64(8), let size = head.big64(24) else {
            return Finding(.qcow2, failure: .malformed(.qcow2, "its header is cut off"))
        }
        if backing != 0 { return Finding(.qcow2, failure: .reachesOutside(.qcow2, "it has a backing file")) }
        switch version {
        case 2: break
        case 3:
            guard let features = head.big64(72) else {
                return Finding(.qcow2, failure: .malformed(.qcow2, "its header is cut off"))
            }
            if features & 4 != 0 {
                return Finding(.qcow2, failure: .reachesOutside(.qcow2, "it has an external data file"))
            }
            if features >> 4 != 0 {
                return Finding(.qcow2, failure: .unknownFeature(.qcow2, "incompatible features \(features)"))
            }
        default: return Finding(.qcow2, failure: .unknownFeature(.qcow2, "version \(version)"))
        }
        return Finding(.qcow2, virtualBytes: size)
    }
}

/// QEMU's enhanced disk, given up by its makers.
enum QED {
    static func look(_ stream: Stream) -> Finding? {
        stream.head.starts(with: "QED\0") ? Finding(.qed, failure: .banned(.qed)) : nil
    }
}

/// Microsoft's older virtual disk ("Virtual Hard Disk Image Format Specification", 1.0): a copy of the footer comes first.
enum VHD {
    static func look(_ stream: Stream) -> Finding? {
        guard stream.head.starts(with: "conectix") else { return nil }
        guard let size = stream.head.big64(40), let type = stream.head.big32(60) else {
            return Finding(.vhd, failure: .malformed(.vhd, "its footer is cut off"))
        }
        if type == 4 { return Finding(.vhd, failure: .reachesOutside(.vhd, "it is a difference to a parent")) }
        return Finding(.vhd, virtualBytes: size)
    }
}

/// Microsoft's newer virtual disk ([MS-VHDX]).
enum VHDX {
    private static let regionTable = 192 << 10
    /// 8B7CA206-4790-4B9A-B8FE-575F050F886E as it is stored.
    private static let metadataRegion: [UInt8] = [
        0x06, 0xA2, 0x7C, 0x8B, 0x90, 0x47, 0x9A, 0x4B, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E,
    ]
    /// 2FA54224-CD1B-4876-B211-5DBED83BF4B8.
    private static let diskSizeItem: [UInt8] = [
        0x24, 0x42, 0xA5, 0x2F, 0x1B, 0xCD, 0x76, 0x48, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8,
    ]
    /// CAA16737-FA36-4D43-B3B6-33F0AA44E76B.
    private static let parametersItem: [UInt8] = [
        0x37, 0x67, 0xA1, 0xCA, 0x36, 0xFA, 0x43, 0x4D, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B,
    ]

    /// Where the metadata lies, as the region table says; nil if this is no such image, or it lies in what was seen.
    static func metadataStart(_ head: [UInt8]) -> UInt64? {
        let head = Fields(head)
        guard head.starts(with: "vhdxfile"), let start = table(head), start >= UInt64(ImageFormatLimits.headBytes),
            start <= UInt64(Int64.max)
        else { return nil }
        return start
    }

    private static func table(_ head: Fields) -> UInt64? {
        guard head.little32(regionTable) == 0x6967_6572, let count = head.little32(regionTable + 8),
            count <= ImageFormatLimits.vhdxEntriesMax
        else { return nil }
        for index in 0..<Int(count) {
            let entry = regionTable + 16 + 32 * index
            if head.slice(entry, 16)?.elementsEqual(metadataRegion) == true { return head.little64(entry + 16) }
        }
        return nil
    }

    static func look(_ stream: Stream) -> Finding? {
        guard stream.head.starts(with: "vhdxfile") else { return nil }
        let metadata = stream.window
        guard metadata.starts(with: "metadata"), let count = metadata.little16(10),
            count <= ImageFormatLimits.vhdxEntriesMax
        else { return Finding(.vhdx, failure: .malformed(.vhdx, "its metadata are not where they should be")) }
        var size: UInt64?
        for index in 0..<Int(count) {
            let entry = 32 + 32 * index
            guard let kind = metadata.slice(entry, 16), let offset = metadata.little32(entry + 16) else { break }
            if kind.elementsEqual(diskSizeItem) { size = metadata.little64(Int(offset)) }
            if kind.elementsEqual(parametersItem), let flags = metadata.little32(Int(offset) + 4), flags & 2 != 0 {
                return Finding(.vhdx, failure: .reachesOutside(.vhdx, "it is a difference to a parent"))
            }
        }
        guard let size else { return Finding(.vhdx, failure: .malformed(.vhdx, "it does not say its size")) }
        return Finding(.vhdx, virtualBytes: size)
    }
}

/// VirtualBox's disk.
enum VDI {
    static func look(_ stream: Stream) -> Finding? {
        guard stream.head.little32(0x40) == 0xBEDA_107F else { return nil }
        guard let size = stream.head.little64(0x170), let type = stream.head.little32(0x4C) else {
            return Finding(.vdi, failure: .malformed(.vdi, "its header is cut off"))
        }
        // 1 is dynamic, 2 fixed; the others are differences.
        guard type == 1 || type == 2 else {
            return Finding(.vdi, failure: .reachesOutside(.vdi, "it is a difference to a parent"))
        }
        return Finding(.vdi, virtualBytes: size)
    }
}

/// A disc: ISO 9660 (ECMA-119) or UDF.
enum ISO {
    private static let descriptor = 32_768

    static func look(_ stream: Stream) -> Finding? {
        let head = stream.head
        guard ["CD001", "NSR02", "NSR03"].contains(where: { head.starts(with: $0, at: descriptor + 1) }) else {
            return nil
        }
        guard head.slice(descriptor, 1)?.first == 1, let blocks = head.little32(descriptor + 80),
            let size = head.little16(descriptor + 128)
        else { return Finding(.iso) }
        return Finding(.iso, virtualBytes: UInt64(blocks) * UInt64(size))
    }
}

/// A disk with a partition table, its own bytes: nothing in them reaches anywhere.
enum PartitionTable {
    static func look(_ stream: Stream) -> Finding? {
        let head = stream.head
        guard head.slice(510, 2)?.elementsEqual([0x55, 0xAA]) == true else { return nil }
        // The same mark ends the first sector of a FAT file system.
        if let copies = head.slice(0x10, 1)?.first, let media = head.slice(0x15, 1)?.first, copies == 2, media == 0xF8 {
            return nil
        }
        return Finding(.gpt, virtualBytes: stream.byteCount)
    }
}

/// An encrypted disk, version 1 (the LUKS on-disk format).
enum LUKS {
    static func look(_ stream: Stream) -> Finding? {
        let head = stream.head
        guard head.slice(0, 6)?.elementsEqual([0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE]) == true else { return nil }
        guard let version = head.slice(6, 2)?.reduce(0, { $0 << 8 | Int($1) }), let payload = head.big32(104) else {
            return Finding(.luks, failure: .malformed(.luks, "its header is cut off"))
        }
        guard version == 1 else { return Finding(.luks, failure: .unknownFeature(.luks, "version \(version)")) }
        let start = UInt64(payload) * 512
        return Finding(.luks, virtualBytes: start <= stream.byteCount ? stream.byteCount - start : 0)
    }
}
