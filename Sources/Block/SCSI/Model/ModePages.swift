/// The mode pages of a disk (SPC-4 7.5, SBC-3 6.5): what is so now, what could be otherwise, what was so at first.
struct ModePages: Sendable {
    /// PAGE CONTROL of MODE SENSE.
    enum Values: UInt8, Sendable {
        case current = 0
        case changeable = 1
        case standard = 2
        case saved = 3
    }

    /// Ascending, as MODE SENSE returns them when asked for all.
    static let codes: [UInt8] = [0x01, 0x02, 0x08, 0x0A, 0x1C]

    var hasWriteCache: Bool
    var mode: ModeParameters

    /// A page with its two bytes of header; nil: there is none such.
    func page(_ code: UInt8, _ values: Values) -> [UInt8]? {
        switch code {
        // Read-write error recovery: nothing to choose.
        case 0x01: return Self.empty(0x01, 12)
        // Disconnect-reconnect: nothing to choose; the transport bounds its bursts itself.
        case 0x02: return Self.empty(0x02, 16)
        case 0x08:
            // Caching: WCE is the owner's choice, not the initiator's.
            var page = Self.empty(0x08, 20)
            if values != .changeable, hasWriteCache { page[2] = 0x04 }
            return page
        case 0x0A: return control(values)
        // Informational exceptions: none are reported (DEXCPT).
        case 0x1C:
            var page = Self.empty(0x1C, 12)
            if values != .changeable { page[2] = 0x08 }
            return page
        default: return nil
        }
    }

    private func control(_ values: Values) -> [UInt8] {
        var page = Self.empty(0x0A, 12)
        switch values {
        case .changeable:
            page[2] = 0x04
            page[4] = 0x08
        case .current, .standard, .saved:
            let mode = values == .current ? mode : []
            page[2] = mode.contains(.descriptorSense) ? 0x04 : 0
            // QUEUE ALGORITHM MODIFIER: unrestricted reordering.
            page[3] = 0x10
            page[4] = mode.contains(.writeProtected) ? 0x08 : 0
            // BUSY TIMEOUT PERIOD: no limit.
            page.set16(8, 0xFFFF)
        }
        return page
    }

    /// What MODE SELECT makes of a page; a bit that can't be changed must be as it is.
    func applying(_ page: [UInt8], at position: Int) throws(Sense) -> ModeParameters {
        let code = page[0] & 0x3F
        guard page[0] & 0x40 == 0, let current = self.page(code, .current), let mask = self.page(code, .changeable)
        else {
            throw .parameter(position)
        }
        guard page.count == current.count else { throw .parameter(position + 1) }
        for index in 2..<page.count where (page[index] ^ current[index]) & ~mask[index] != 0 {
            throw .parameter(position + index)
        }
        guard code == 0x0A else { return mode }
        var changed: ModeParameters = []
        if page[2] & 0x04 != 0 { changed.insert(.descriptorSense) }
        if page[4] & 0x08 != 0 { changed.insert(.writeProtected) }
        return changed
    }

    private static func empty(_ code: UInt8, _ count: Int) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: count)
        page[0] = code
        page[1] = UInt8(count - 2)
        return page
    }
}
