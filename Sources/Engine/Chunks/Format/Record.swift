import Codecs
import Primitives

/// Record types on the medium. Numbers are never reused; the ones without code here belong to later issues.
enum RecordType: UInt8, Sendable {
    case putObject = 1
    case deleteObject = 2
    case setObjectMetadata = 3
    case uploadLeaf = 4
    case volumeWrite = 5
    case volumeReference = 6
    case volumeTrim = 7
    case newLayer = 8
    case snapshot = 9
    case clone = 10
    case resize = 11
    case moveLeaf = 12
    case dropLayer = 13
    case relocate = 14
    /// A frame of a large body in an L segment: it means nothing on replay and names its owner for salvage.
    case frame = 15
    /// An upload was given up: its leaves name nothing.
    case dropUpload = 16
    case revert = 17
    case rename = 18
    case putContainer = 32
    case deleteContainer = 33
    case putAccount = 34
}

/// One change of state as the log holds it, complete enough to be applied without looking anything up: that
/// is what makes redo exact.
enum Record: Sendable, Hashable {
    case putAccount(name: Bytes, timestamp: Timestamp, attributes: [UInt8])
    case putContainer(
        ContainerKey, id: UInt64, isNew: Bool, created: Timestamp, timestamp: Timestamp, attributes: [UInt8])
    case deleteContainer(ContainerKey, id: UInt64, timestamp: Timestamp)
    case putObject(ContainerKey, id: UInt64, ObjectRow, replaced: Replaced?)
    case setObjectMetadata(ContainerKey, id: UInt64, ObjectRow)
    case deleteObject(ContainerKey, id: UInt64, name: Bytes, timestamp: Timestamp, replaced: Replaced)
    case uploadLeaf(owner: UInt64, index: UInt32, entries: [UInt8])
    case dropUpload(owner: UInt64)
    /// Blocks of a layer from `firstBlock` on, side by side. Inline: their bytes are this record's payload, and until it
    /// has its place the entries name offsets in that.
    case volumeWrite(layer: UInt64, firstBlock: UInt64, entries: [MapEntry], isInline: Bool)
    /// The blocks read as zeros; or, in a layer without a parent, are as never written.
    case volumeTrim(layer: UInt64, firstBlock: UInt64, count: UInt64, leavesZeros: Bool)
    case tree(TreeChange)

    /// What a PUT or DELETE does away with.
    struct Replaced: Sendable, Hashable {
        var size: Int
        var owner: UInt64
        var isMapped: Bool

        init(size: Int, owner: UInt64, isMapped: Bool) {
            self.size = size
            self.owner = owner
            self.isMapped = isMapped
        }

        init(_ row: ObjectRow) {
            self.init(size: row.size, owner: row.owner, isMapped: row.body == .mapped)
        }
    }
}

struct ContainerKey: Sendable, Hashable, Comparable {
    var account: Bytes
    var name: Bytes

    static func < (a: ContainerKey, b: ContainerKey) -> Bool {
        a.account == b.account ? a.name < b.name : a.account < b.account
    }
}

struct ObjectKey: Sendable, Hashable, Comparable {
    var container: UInt64
    var name: Bytes

    static func < (a: ObjectKey, b: ObjectKey) -> Bool {
        a.container == b.container ? a.name < b.name : a.container < b.container
    }
}

struct LeafKey: Sendable, Hashable, Comparable {
    var owner: UInt64
    var index: UInt32

    static func < (a: LeafKey, b: LeafKey) -> Bool {
        a.owner == b.owner ? a.index < b.index : a.owner < b.owner
    }
}

extension Record {
    /// The record's group entry, payload apart.
    func encoded() -> EncodedRecord {
        if case .volumeWrite(let layer, let firstBlock, let entries, let isInline) = self {
            let attributes = [UInt8](unsafeUninitializedCapacity: entries.count * MapEntry.byteCount) { buffer, used in
                let out = UnsafeMutableRawBufferPointer(buffer)
                for i in entries.indices {
                    out.set(entries[i].locator, at: i * MapEntry.byteCount)
                    out.set(entries[i].word, at: i * MapEntry.byteCount + 8)
                }
                used = entries.count * MapEntry.byteCount
            }
            let type = isInline ? RecordType.volumeWrite : .volumeReference
            return EncodedRecord(type: type.rawValue, owner: layer, logical: firstBlock, attributes: attributes)
        }
        var writer = ByteWriter(reserving: 256)
        switch self {
        case .putAccount(let name, let timestamp, let attributes):
            writer.put(name)
            writer.put(timestamp)
            writer.put(attributes)
            return EncodedRecord(type: RecordType.putAccount.rawValue, owner: 0, logical: 0, attributes: writer.bytes)
        case .putContainer(let key, let id, let isNew, let created, let timestamp, let attributes):
            writer.put(key)
            writer.put(isNew)
            writer.put(created)
            writer.put(timestamp)
            writer.put(attributes)
            return EncodedRecord(
                type: RecordType.putContainer.rawValue, owner: id, logical: 0, attributes: writer.bytes)
        case .deleteContainer(let key, let id, let timestamp):
            writer.put(key)
            writer.put(timestamp)
            return EncodedRecord(
                type: RecordType.deleteContainer.rawValue, owner: id, logical: 0, attributes: writer.bytes)
        case .putObject(let key, let id, let row, let replaced):
            writer.put(key)
            writer.put(row.name)
            writer.put(row)
            writer.put(replaced)
            return EncodedRecord(
                type: RecordType.putObject.rawValue, owner: row.owner, logical: id, attributes: writer.bytes)
        case .setObjectMetadata(let key, let id, let row):
            writer.put(key)
            writer.put(row.name)
            writer.put(row)
            return EncodedRecord(
                type: RecordType.setObjectMetadata.rawValue, owner: row.owner, logical: id, attributes: writer.bytes)
        case .deleteObject(let key, let id, let name, let timestamp, let replaced):
            writer.put(key)
            writer.put(name)
            writer.put(timestamp)
            writer.put(replaced)
            return EncodedRecord(
                type: RecordType.deleteObject.rawValue, owner: replaced.owner, logical: id, attributes: writer.bytes)
        case .uploadLeaf(let owner, let index, let entries):
            writer.put(entries)
            return EncodedRecord(
                type: RecordType.uploadLeaf.rawValue, owner: owner, logical: UInt64(index), attributes: writer.bytes)
        case .dropUpload(let owner):
            return EncodedRecord(type: RecordType.dropUpload.rawValue, owner: owner, logical: 0, attributes: [])
        case .volumeWrite: preconditionFailure("encoded above")
        case .volumeTrim(let layer, let firstBlock, let count, let leavesZeros):
            writer.put(count)
            writer.put(leavesZeros)
            return EncodedRecord(
                type: RecordType.volumeTrim.rawValue, owner: layer, logical: firstBlock, attributes: writer.bytes)
        case .tree(let change):
            writer.put(change)
            return EncodedRecord(
                type: change.kind.type.rawValue, owner: change.layers.first?.id ?? 0, logical: 0,
                attributes: writer.bytes)
        }
    }

    /// What `encoded` wrote, the inline payload's place filled in from the entry. nil: not understood.
    init?(_ entry: GroupEntry, segment: UInt32, groupOffset: UInt32) {
        guard let type = RecordType(rawValue: entry.type) else { return nil }
        var reader = ByteReader(entry.attributes)
        switch type {
        case .putAccount:
            self = .putAccount(
                name: reader.getBytes(), timestamp: reader.getTimestamp(), attributes: reader.getString())
        case .putContainer:
            self = .putContainer(
                reader.getContainerKey(), id: entry.owner, isNew: reader.getFlag(), created: reader.getTimestamp(),
                timestamp: reader.getTimestamp(), attributes: reader.getString())
        case .deleteContainer:
            self = .deleteContainer(reader.getContainerKey(), id: entry.owner, timestamp: reader.getTimestamp())
        case .putObject:
            let key = reader.getContainerKey()
            let name = reader.getBytes()
            var row = reader.getObjectRow(name: name)
            if entry.storedBytes > 0 {
                row.body = .inline(
                    Extent(
                        segment: segment, offset: groupOffset + entry.payloadOffset, storedBytes: entry.storedBytes,
                        isLZ4: entry.flags & GroupEntry.lz4Flag != 0, tag: entry.payloadHash))
            }
            self = .putObject(key, id: entry.logical, row, replaced: reader.getReplaced())
        case .setObjectMetadata:
            let key = reader.getContainerKey()
            let name = reader.getBytes()
            self = .setObjectMetadata(key, id: entry.logical, reader.getObjectRow(name: name))
        case .deleteObject:
            let key = reader.getContainerKey()
            let name = reader.getBytes()
            let timestamp = reader.getTimestamp()
            guard let replaced = reader.getReplaced() else { return nil }
            self = .deleteObject(key, id: entry.logical, name: name, timestamp: timestamp, replaced: replaced)
        case .uploadLeaf:
            guard entry.logical < UInt64(Limits.leavesMax) else { return nil }
            self = .uploadLeaf(owner: entry.owner, index: UInt32(entry.logical), entries: reader.getString())
        case .dropUpload: self = .dropUpload(owner: entry.owner)
        case .volumeWrite, .volumeReference:
            let isInline = type == .volumeWrite
            guard reader.remaining % MapEntry.byteCount == 0, reader.remaining > 0,
                Self.isWithinVolume(entry.logical, UInt64(reader.remaining / MapEntry.byteCount))
            else { return nil }
            var entries: [MapEntry] = []
            entries.reserveCapacity(reader.remaining / MapEntry.byteCount)
            while reader.remaining > 0 {
                let read = MapEntry(locator: reader.get(UInt64.self), word: reader.get(UInt64.self))
                guard read.isPresent, read.isSound else { return nil }
                guard isInline, let extent = read.extent else {
                    entries.append(read)
                    continue
                }
                guard extent.segment == 0, Int(extent.offset) + Int(extent.storedBytes) <= Int(entry.storedBytes)
                else { return nil }
                entries.append(read.placed(segment: segment, base: groupOffset + entry.payloadOffset))
            }
            self = .volumeWrite(
                layer: entry.owner, firstBlock: entry.logical, entries: entries, isInline: isInline)
        case .volumeTrim:
            let count = reader.get(UInt64.self)
            guard Self.isWithinVolume(entry.logical, count) else { return nil }
            self = .volumeTrim(
                layer: entry.owner, firstBlock: entry.logical, count: count, leavesZeros: reader.getFlag())
        case .newLayer: self = .tree(reader.getTreeChange(.newLayer))
        case .snapshot: self = .tree(reader.getTreeChange(.snapshot))
        case .clone: self = .tree(reader.getTreeChange(.clone))
        case .resize: self = .tree(reader.getTreeChange(.resize))
        case .revert: self = .tree(reader.getTreeChange(.revert))
        case .rename: self = .tree(reader.getTreeChange(.rename))
        case .dropLayer: self = .tree(reader.getTreeChange(.dropLayer))
        case .moveLeaf, .relocate, .frame: return nil
        }
        guard reader.isComplete else { return nil }
    }

    private static func isWithinVolume(_ firstBlock: UInt64, _ count: UInt64) -> Bool {
        let blocks = Limits.volumeBytesMax / UInt64(Limits.volumeBlockBytes)
        return firstBlock < blocks && count <= blocks - firstBlock
    }

    /// The newest timestamp that the record holds, and the highest id.
    var newestTimestamp: Timestamp {
        switch self {
        case .putAccount(_, let timestamp, _), .putContainer(_, _, _, _, let timestamp, _),
            .deleteContainer(_, _, let timestamp),
            .deleteObject(_, _, _, let timestamp, _):
            timestamp
        case .putObject(_, _, let row, _), .setObjectMetadata(_, _, let row): row.modified
        case .uploadLeaf, .dropUpload, .volumeWrite, .volumeTrim, .tree: .zero
        }
    }

    var highestID: UInt64 {
        switch self {
        case .putAccount: 0
        case .putContainer(_, let id, _, _, _, _), .deleteContainer(_, let id, _), .deleteObject(_, let id, _, _, _): id
        case .putObject(_, let id, let row, _), .setObjectMetadata(_, let id, let row): max(id, row.owner)
        case .uploadLeaf(let owner, _, _), .dropUpload(let owner): owner
        case .volumeWrite(let layer, _, _, _), .volumeTrim(let layer, _, _, _): layer
        case .tree(let change): max(change.layers.map(\.id).max() ?? 0, change.dropped.map(\.id).max() ?? 0)
        }
    }
}
