import Codecs
import Primitives

// How rows are written, in records and in the index alike.

extension ByteWriter {
    mutating func put(_ key: ContainerKey) {
        put(key.account)
        put(key.name)
    }

    /// Everything but the name.
    mutating func put(_ row: ObjectRow) {
        put(row.owner)
        put(row.created)
        put(row.modified)
        put(UInt64(row.size))
        put(raw: row.etag.bytes)
        switch row.body {
        case .empty: put(UInt8(0))
        case .inline(let extent):
            put(UInt8(1))
            put(extent.locator)
            put(extent.taggedWord)
        case .mapped: put(UInt8(2))
        }
        put(row.contentType)
        put(row.attributes)
    }

    mutating func put(_ replaced: Record.Replaced?) {
        put(replaced != nil)
        if let replaced {
            put(UInt64(replaced.size))
            put(replaced.owner)
            put(replaced.isMapped)
        }
    }

    mutating func put(_ row: ContainerRow) {
        put(row.id)
        put(row.created)
        put(row.modified)
        put(Int64(row.objectCount))
        put(Int64(row.byteCount))
        put(row.attributes)
    }

    mutating func put(_ row: AccountRow) {
        put(row.created)
        put(row.modified)
        put(Int64(row.containerCount))
        put(Int64(row.objectCount))
        put(Int64(row.byteCount))
        put(row.attributes)
    }
}

extension ByteReader {
    mutating func getContainerKey() -> ContainerKey { ContainerKey(account: getBytes(), name: getBytes()) }

    mutating func getObjectRow(name: Bytes) -> ObjectRow {
        let owner = get(UInt64.self)
        let created = getTimestamp()
        let modified = getTimestamp()
        let size = Int(truncatingIfNeeded: get(UInt64.self) & 0x7FFF_FFFF_FFFF_FFFF)
        let digest = get(raw: 16)
        let body: ObjectRow.Body
        switch get(UInt8.self) {
        case 0: body = .empty
        case 1:
            let locator = get(UInt64.self)
            let word = get(UInt64.self)
            if let extent = Extent(locator: locator, taggedWord: word) {
                body = .inline(extent)
            } else {
                fail()
                body = .empty
            }
        case 2: body = .mapped
        default:
            fail()
            body = .empty
        }
        return ObjectRow(
            name: name, owner: owner, created: created, modified: modified, size: size,
            etag: MD5Digest(digest.count == 16 ? digest : [UInt8](repeating: 0, count: 16)), contentType: getBytes(),
            attributes: getString(), body: body)
    }

    mutating func getReplaced() -> Record.Replaced? {
        guard getFlag() else { return nil }
        return Record.Replaced(
            size: Int(truncatingIfNeeded: get(UInt64.self) & 0x7FFF_FFFF_FFFF_FFFF), owner: get(UInt64.self),
            isMapped: getFlag())
    }

    mutating func getContainerRow(_ key: ContainerKey) -> ContainerRow {
        let id = get(UInt64.self)
        let created = getTimestamp()
        let modified = getTimestamp()
        let objects = Int(get(Int64.self))
        let bytes = Int(get(Int64.self))
        return ContainerRow(
            account: key.account, name: key.name, id: id, created: created, modified: modified, attributes: getString(),
            objectCount: objects, byteCount: bytes)
    }

    mutating func getAccountRow(_ name: Bytes) -> AccountRow {
        let created = getTimestamp()
        let modified = getTimestamp()
        let containers = Int(get(Int64.self))
        let objects = Int(get(Int64.self))
        let bytes = Int(get(Int64.self))
        return AccountRow(
            name: name, created: created, modified: modified, attributes: getString(), containerCount: containers,
            objectCount: objects, byteCount: bytes)
    }
}

/// Keys of the index: one ordered byte string each, a letter for the kind first.
enum IndexKey {
    static let account: UInt8 = 0x41  // A, name
    static let container: UInt8 = 0x43  // C, account, 0, name
    static let leaf: UInt8 = 0x4C  // L, owner big-endian, index big-endian
    static let object: UInt8 = 0x4F  // O, container id big-endian, name
    static let upload: UInt8 = 0x55  // U, owner big-endian: leaves without their PUT
    static let layer: UInt8 = 0x59  // Y, id big-endian
    static let handle: UInt8 = 0x48  // H, name
    static let block: UInt8 = 0x42  // B, layer big-endian, leaf big-endian: a leaf of a layer's map
    static let swept: UInt8 = 0x58  // X, layer big-endian: a dropped one whose leaves are still to be removed

    static func account(_ name: Bytes) -> [UInt8] { [account] + name.storage }

    /// Names hold no NUL (the API refuses it), so the order of keys is the order of (account, name).
    static func container(_ key: ContainerKey) -> [UInt8] { [container] + key.account.storage + [0] + key.name.storage }

    static func containers(of accountName: Bytes) -> [UInt8] { [container] + accountName.storage + [0] }

    static func object(_ key: ObjectKey) -> [UInt8] {
        var out = [UInt8]()
        out.reserveCapacity(9 + key.name.count)
        out.append(object)
        appendBigEndian(key.container, to: &out)
        out.append(contentsOf: key.name.storage)
        return out
    }

    static func leaf(_ key: LeafKey) -> [UInt8] {
        var out = leaves(of: key.owner)
        withUnsafeBytes(of: key.index.bigEndian) { out.append(contentsOf: $0) }
        return out
    }

    static func leaves(of owner: UInt64) -> [UInt8] {
        var out = [leaf]
        appendBigEndian(owner, to: &out)
        return out
    }

    static func layer(_ id: UInt64) -> [UInt8] {
        var out = [layer]
        appendBigEndian(id, to: &out)
        return out
    }

    static func handle(_ name: Bytes) -> [UInt8] { [handle] + name.storage }

    static func block(_ key: LeafKey) -> [UInt8] {
        var out = [UInt8]()
        out.reserveCapacity(13)
        out.append(block)
        appendBigEndian(key.owner, to: &out)
        withUnsafeBytes(of: key.index.bigEndian) { out.append(contentsOf: $0) }
        return out
    }

    static func swept(_ id: UInt64) -> [UInt8] {
        var out = [swept]
        appendBigEndian(id, to: &out)
        return out
    }

    static func upload(_ owner: UInt64) -> [UInt8] {
        var out = [upload]
        appendBigEndian(owner, to: &out)
        return out
    }

    private static func appendBigEndian(_ value: UInt64, to out: inout [UInt8]) {
        withUnsafeBytes(of: value.bigEndian) { out.append(contentsOf: $0) }
    }

    static func bigEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    /// The first key behind all keys with this prefix; nil if there is none.
    static func successor(ofPrefix prefix: [UInt8]) -> [UInt8]? {
        var out = prefix
        while let last = out.popLast() {
            if last < 255 {
                out.append(last + 1)
                return out
            }
        }
        return nil
    }
}

/// Seals index values with a hash over key and value, and opens them again.
struct RowSeal: Sendable {
    let secret: HashSecret

    func seal(_ value: [UInt8], key: [UInt8]) -> [UInt8] {
        var out = value
        let hash = hash(value[...], key: key)
        withUnsafeBytes(of: hash.littleEndian) { out.append(contentsOf: $0) }
        return out
    }

    /// The value without its hash; throws if it does not match the key.
    func open(_ sealed: [UInt8], key: [UInt8]) throws(ChunkError) -> [UInt8] {
        guard sealed.count >= 8 else { throw .corruptIndex("a row of \(sealed.count) bytes") }
        let value = sealed[0..<sealed.count - 8]
        let stored = sealed.withUnsafeBytes { $0.u64(sealed.count - 8) }
        guard hash(value, key: key) == stored else { throw .corruptIndex("a row does not match its hash") }
        return Array(value)
    }

    private func hash(_ value: ArraySlice<UInt8>, key: [UInt8]) -> UInt64 {
        let a = key.withUnsafeBytes { XXH3.hash($0, secret) }
        let b = value.withUnsafeBytes { XXH3.hash($0, secret) }
        return a &* 0x9E37_79B9_7F4A_7C15 ^ b
    }
}
