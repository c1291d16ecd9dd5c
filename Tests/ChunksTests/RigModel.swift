import Codecs
import Disks
import Glibc
import Primitives
import Synchronization

@testable import Chunks

/// Bytes that a few numbers stand for.
struct BodySpec: Hashable, Sendable, CustomStringConvertible {
    enum Kind: Int, Sendable { case zeros, text, noise }
    var seed: UInt64
    var size: Int
    var kind: Kind

    var description: String { "\(size) \(kind) \(seed)" }

    var bytes: [UInt8] {
        var random = SplitMix64(seed: seed)
        var out = [UInt8](repeating: 0, count: size)
        out.withUnsafeMutableBytes { raw in
            var at = 0
            while at + 8 <= size {
                switch kind {
                case .zeros: break
                case .text:
                    raw.storeBytes(
                        of: random.next() & 0x0101_0101_0101_0101 | seed << 56, toByteOffset: at, as: UInt64.self)
                case .noise: raw.storeBytes(of: random.next(), toByteOffset: at, as: UInt64.self)
                }
                at += 8
            }
            while at < size {
                raw[at] = kind == .zeros ? 0 : UInt8(truncatingIfNeeded: random.next())
                at += 1
            }
        }
        return out
    }

    /// Computed once for each body.
    var etag: MD5Digest {
        if let known = Self.etags.withLock({ $0[self] }) { return known }
        let digest = bytes.withUnsafeBytes { MD5.hash($0) }
        Self.etags.withLock { $0[self] = digest }
        return digest
    }

    private static let etags = PosixLocked<[BodySpec: MD5Digest]>([:])
}

/// Whether both hold the same bytes; a library call, since element by element takes milliseconds in debug builds.
func same(_ a: [UInt8], _ b: ArraySlice<UInt8>) -> Bool {
    a.count == b.count
        && a.withUnsafeBytes { x in
            b.withUnsafeBytes { y in x.count == 0 || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0 }
        }
}

/// What the engine should hold: dictionaries, and counters by counting.
struct Model: Sendable {
    struct Account: Sendable {
        var created: Timestamp
        var modified: Timestamp
        var attributes: [UInt8]
    }
    struct Container: Sendable {
        var id: UInt64
        var created: Timestamp
        var modified: Timestamp
        var attributes: [UInt8]
        var objects: [Bytes: Object] = [:]
        var byteCount: Int { objects.values.reduce(0) { $0 + $1.body.size } }
    }
    struct Object: Sendable {
        var created: Timestamp
        var modified: Timestamp
        var contentType: Bytes
        var attributes: [UInt8]
        var body: BodySpec
        var etag: MD5Digest
    }
    struct Name: Hashable, Comparable, Sendable {
        var account: Bytes
        var container: Bytes
        static func < (a: Name, b: Name) -> Bool { (a.account, a.container) < (b.account, b.container) }
    }

    var accounts: [Bytes: Account] = [:]
    var containers: [Name: Container] = [:]
    var volumes: [Bytes: ModelVolume] = [:]

    mutating func touchAccount(_ name: Bytes, _ timestamp: Timestamp) {
        if accounts[name] == nil { accounts[name] = Account(created: timestamp, modified: timestamp, attributes: []) }
    }

    var dump: Dump {
        var result = Dump()
        result.accounts = accounts.keys.sorted().map { accountRow($0)! }
        for name in containers.keys.sorted() {
            result.containers.append(containerRow(name)!)
            let container = containers[name]!
            for object in container.objects.keys.sorted() { result.objects.append(line(container, object)!) }
        }
        result.volumes = volumeLines
        return result
    }

    func accountRow(_ name: Bytes) -> AccountRow? {
        guard let account = accounts[name] else { return nil }
        let mine = containers.filter { $0.key.account == name }.values
        return AccountRow(
            name: name, created: account.created, modified: account.modified, attributes: account.attributes,
            containerCount: mine.count, objectCount: mine.reduce(0) { $0 + $1.objects.count },
            byteCount: mine.reduce(0) { $0 + $1.byteCount })
    }

    func containerRow(_ name: Name) -> ContainerRow? {
        guard let container = containers[name] else { return nil }
        return ContainerRow(
            account: name.account, name: name.container, id: container.id, created: container.created,
            modified: container.modified, attributes: container.attributes, objectCount: container.objects.count,
            byteCount: container.byteCount)
    }

    func line(_ container: Container, _ name: Bytes) -> Dump.Line? {
        container.objects[name].map {
            Dump.Line(
                container: container.id, name: name, created: $0.created, modified: $0.modified, size: $0.body.size,
                etag: $0.etag, contentType: $0.contentType, attributes: $0.attributes)
        }
    }
}

/// Everything that users can see of a store, in one order: equal dumps, equal stores.
struct Dump: Hashable, Sendable {
    struct Line: Hashable, Sendable {
        var container: UInt64
        var name: Bytes
        var created: Timestamp
        var modified: Timestamp
        var size: Int
        var etag: MD5Digest
        var contentType: Bytes
        var attributes: [UInt8]

        init(
            container: UInt64, name: Bytes, created: Timestamp, modified: Timestamp, size: Int, etag: MD5Digest,
            contentType: Bytes, attributes: [UInt8]
        ) {
            self.container = container
            self.name = name
            self.created = created
            self.modified = modified
            self.size = size
            self.etag = etag
            self.contentType = contentType
            self.attributes = attributes
        }

        init(_ row: ObjectRow, in container: UInt64) {
            self.init(
                container: container, name: row.name, created: row.created, modified: row.modified, size: row.size,
                etag: row.etag, contentType: row.contentType, attributes: row.attributes)
        }
    }

    var accounts: [AccountRow] = []
    var containers: [ContainerRow] = []
    var objects: [Line] = []
    var volumes: [VolumeLine] = []

    /// The first few differences, in words.
    func difference(from other: Dump) -> String {
        var out: [String] = []
        func compare<T: Hashable>(_ kind: String, _ mine: [T], _ theirs: [T], _ show: (T) -> String) {
            let a = Set(mine)
            let b = Set(theirs)
            for extra in mine where !b.contains(extra) { out.append("engine has \(kind) \(show(extra))") }
            for missing in theirs where !a.contains(missing) { out.append("model has \(kind) \(show(missing))") }
        }
        compare("account", accounts, other.accounts) {
            "\($0.name) \($0.created) \($0.modified) \($0.containerCount)/\($0.objectCount)/\($0.byteCount) attributes \($0.attributes.count)"
        }
        compare("container", containers, other.containers) {
            "\($0.account)/\($0.name) #\($0.id) \($0.created) \($0.modified) \($0.objectCount)/\($0.byteCount) attributes \($0.attributes.count)"
        }
        compare("object", objects, other.objects) {
            "#\($0.container) \($0.name) \($0.created) \($0.modified) \($0.size) bytes, attributes \($0.attributes.count)"
        }
        compare("volume", volumes, other.volumes) { "\($0.name) \($0.isSnapshot) \($0.size) bytes, hash \($0.hash)" }
        if out.isEmpty, self != other { out.append("order differs") }
        return out.prefix(6).joined(separator: "; ")
    }
}

/// A finding of a rig: what disagreed.
struct RigFailure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
