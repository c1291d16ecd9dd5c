/// What a logical unit calls itself: the same through every target, on every machine, for as long as its volume lives.
package struct LogicalUnitIdentity: Sendable, Hashable {
    /// T10 VENDOR IDENTIFICATION: printable ASCII, cut and padded to 8 bytes.
    package var vendor: String
    /// PRODUCT IDENTIFICATION: 16 bytes.
    package var product: String
    /// PRODUCT REVISION LEVEL: 4 bytes.
    package var revision: String
    /// PRODUCT SERIAL NUMBER, in VPD pages 80h and 83h: unique among the vendor's products, at most 36 bytes (a UUID).
    package var serial: String
    /// A locally assigned NAA identifier (SPC-4 7.8.6.6.4): its low 60 bits. No vendor's OUI is ours to use.
    package var number: UInt64

    /// - Parameter number: nil: derived from the serial number, so that it stays the same.
    package init(vendor: String, product: String, revision: String, serial: String, number: UInt64? = nil) {
        self.vendor = vendor
        self.product = product
        self.revision = revision
        self.serial = serial
        self.number = number ?? Self.digest(serial)
    }

    /// FNV-1a over 64 bits, folded to 60: spreads UUIDs well, and never changes.
    private static func digest(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return (hash ^ (hash >> 60)) & 0x0FFF_FFFF_FFFF_FFFF
    }

    var vendorBytes: [UInt8] { Self.padded(vendor, 8) }
    var productBytes: [UInt8] { Self.padded(product, 16) }
    var revisionBytes: [UInt8] { Self.padded(revision, 4) }
    var serialBytes: [UInt8] { Array(Self.printable(serial).prefix(36)) }

    /// NAA 3h.
    var naa: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put64(0x3000_0000_0000_0000 | number & 0x0FFF_FFFF_FFFF_FFFF)
        return bytes
    }

    /// SPC-4 4.4.1: codes 20h to 7Eh, left-aligned, filled with spaces.
    private static func padded(_ text: String, _ count: Int) -> [UInt8] {
        let bytes = Array(printable(text).prefix(count))
        return bytes + [UInt8](repeating: 0x20, count: count - bytes.count)
    }

    private static func printable(_ text: String) -> [UInt8] {
        text.utf8.map { (0x20...0x7E).contains($0) ? $0 : 0x3F }
    }
}
