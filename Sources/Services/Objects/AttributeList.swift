private import Chunks

/// What the object service keeps with a row beside the engine's own columns: user metadata and kept headers.
///
/// Bytes: a version (1), then per attribute a tag, for `.metadata` a length byte and the name, then a 16-bit
/// little-endian length and the value. Tags that a later version writes are kept as they are.
struct AttributeList: Sendable, Hashable {
    struct Attribute: Sendable, Hashable {
        var tag: UInt8
        /// Lower-case, without prefix; empty unless the tag is `.metadata`.
        var name: [UInt8]
        var value: [UInt8]
    }

    /// On disk: never give a number a second meaning.
    enum Tag {
        static let metadata: UInt8 = 0
        static let contentEncoding: UInt8 = 1
        static let contentDisposition: UInt8 = 2
        static let cacheControl: UInt8 = 3
        static let contentLanguage: UInt8 = 4
        static let expires: UInt8 = 5
        static let robots: UInt8 = 6
        static let readAccess: UInt8 = 16
        static let writeAccess: UInt8 = 17
        /// Whoever wrote the read list speaks of the default domain: names in it count. Empty value.
        static let readNamesCount: UInt8 = 18
        static let accountAccess: UInt8 = 19
        /// The same as `readNamesCount` for the write list, and for the account's.
        static let writeNamesCount: UInt8 = 20
        static let accountNamesCount: UInt8 = 21
    }

    var attributes: [Attribute] = []

    private static let version: UInt8 = 1

    init() {}

    /// nil when the bytes are none of ours. No bytes at all are an empty list.
    init?(decoding bytes: [UInt8]) {
        guard let version = bytes.first else { return }
        guard version == Self.version else { return nil }
        var at = 1
        while at < bytes.count {
            let tag = bytes[at]
            at += 1
            var name: [UInt8] = []
            if tag == Tag.metadata {
                guard at < bytes.count, at + 1 + Int(bytes[at]) <= bytes.count else { return nil }
                name = Array(bytes[(at + 1)..<(at + 1 + Int(bytes[at]))])
                at += 1 + name.count
            }
            guard at + 2 <= bytes.count else { return nil }
            let length = Int(bytes[at]) | Int(bytes[at + 1]) << 8
            at += 2
            guard at + length <= bytes.count else { return nil }
            attributes.append(Attribute(tag: tag, name: name, value: Array(bytes[at..<(at + length)])))
            at += length
        }
    }

    /// Precondition: names and values within `ObjectLimits`, which fit their length fields.
    func encoded() -> [UInt8] {
        if attributes.isEmpty { return [] }
        var out: [UInt8] = [Self.version]
        out.reserveCapacity(encodedCount)
        for attribute in attributes {
            precondition(attribute.name.count <= 255 && attribute.value.count <= 65_535, "attribute beyond its limit")
            out.append(attribute.tag)
            if attribute.tag == Tag.metadata {
                out.append(UInt8(attribute.name.count))
                out.append(contentsOf: attribute.name)
            }
            out.append(UInt8(truncatingIfNeeded: attribute.value.count))
            out.append(UInt8(truncatingIfNeeded: attribute.value.count >> 8))
            out.append(contentsOf: attribute.value)
        }
        return out
    }

    private var encodedCount: Int { attributes.reduce(1) { $0 + 4 + $1.name.count + $1.value.count } }

    func value(_ tag: UInt8) -> [UInt8]? { attributes.first { $0.tag == tag }?.value }

    /// Sets, or with nil removes, the value of a tag that occurs once.
    mutating func set(_ tag: UInt8, _ value: [UInt8]?) {
        let index = attributes.firstIndex { $0.tag == tag }
        switch (index, value) {
        case (let index?, let value?): attributes[index].value = value
        case (let index?, nil): attributes.remove(at: index)
        case (nil, let value?): attributes.append(Attribute(tag: tag, name: [], value: value))
        case (nil, nil): break
        }
    }

    mutating func setMetadata(_ name: [UInt8], _ value: [UInt8]?) {
        let index = attributes.firstIndex { $0.tag == Tag.metadata && $0.name == name }
        switch (index, value) {
        case (let index?, let value?): attributes[index].value = value
        case (let index?, nil): attributes.remove(at: index)
        case (nil, let value?): attributes.append(Attribute(tag: Tag.metadata, name: name, value: value))
        case (nil, nil): break
        }
    }

    /// The limits on the whole of the metadata (object-api.md 6.4).
    func checkMetadata() throws(ObjectError) {
        var count = 0
        var bytes = 0
        for attribute in attributes where attribute.tag == Tag.metadata {
            count += 1
            bytes += attribute.name.count + attribute.value.count
        }
        guard count <= ObjectLimits.metadataCountMax else {
            throw .badRequest("Too many metadata items; max \(ObjectLimits.metadataCountMax)")
        }
        guard bytes <= ObjectLimits.metadataBytesMax else {
            throw .badRequest("Total metadata too large; max \(ObjectLimits.metadataBytesMax)")
        }
        guard encodedCount <= Limits.attributeBytesMax else {
            throw .badRequest("The kept headers are too large together; max \(Limits.attributeBytesMax)")
        }
    }
}
