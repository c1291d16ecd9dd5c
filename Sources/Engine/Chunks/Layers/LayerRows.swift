package import Primitives

/// One layer: blocks of its own over those of its parent (engine.md, Layers).
package struct LayerRow: Sendable, Hashable {
    package var id: UInt64
    /// 0: none.
    package var parent: UInt64
    package var byteCount: UInt64
    /// Never written to again.
    package var isFrozen: Bool
    /// Layers that stand on this one, and handles that name it. With neither it is dropped.
    package var children: UInt32
    package var handles: UInt32
    /// Layers from here to the one without a parent, this one included.
    package var depth: UInt32
}

/// A name that somebody outside gave to a layer: a volume's moves on to a new layer with each snapshot, a snapshot's stays.
package struct HandleRow: Sendable, Hashable {
    package enum Kind: UInt8, Sendable {
        case volume = 1
        case snapshot = 2
    }

    package var name: Bytes
    package var kind: Kind
    package var layer: UInt64
    /// What its owner keeps with it (project, display name ...), so that a store alone says whose it is; opaque here.
    package var attributes: [UInt8]
}

/// One of the snapshots that are to be taken together.
package struct SnapshotRequest: Sendable, Hashable {
    package var volume: Bytes
    package var name: Bytes
    package var attributes: [UInt8]

    package init(volume: Bytes, name: Bytes, attributes: [UInt8]) {
        self.volume = volume
        self.name = name
        self.attributes = attributes
    }
}

/// A change of the layer tree: every row that it touches, as it is afterwards, so that redo looks nothing up.
struct TreeChange: Sendable, Hashable {
    /// What it was, for people and for salvage; replay does not ask.
    enum Kind: UInt8, Sendable {
        case newLayer = 8
        case snapshot = 9
        case clone = 10
        case resize = 11
        case dropLayer = 13
        case revert = 17
        case rename = 18

        var type: RecordType {
            switch self {
            case .newLayer: .newLayer
            case .snapshot: .snapshot
            case .clone: .clone
            case .resize: .resize
            case .dropLayer: .dropLayer
            case .revert: .revert
            case .rename: .rename
            }
        }
    }

    /// A layer that is no more, and how many leaves its map may have.
    struct Dropped: Sendable, Hashable {
        var id: UInt64
        var leaves: UInt32
    }

    var kind: Kind
    var layers: [LayerRow] = []
    var dropped: [Dropped] = []
    var handles: [HandleRow] = []
    var removedHandles: [Bytes] = []
}

/// Why a change of the layer tree was refused. Nothing was changed.
package enum LayerError: Error, Sendable, Hashable {
    case noSuchHandle(Bytes)
    case handleExists(Bytes)
    /// A volume where a snapshot is needed, or the other way round.
    case wrongKind(Bytes)
    /// A layer gets no smaller.
    case shrinks
    /// Sizes are whole blocks, and below `Limits.volumeBytesMax`.
    case badSize
    /// `Limits.layerDepthMax` layers stand on one another.
    case tooDeep
    /// More volumes at once than one record of the log can name.
    case tooLarge
    /// The snapshot is not one of this volume's.
    case notAnAncestor
    /// It is open, and can't change its name under those who use it.
    case inUse(Bytes)
    case store(ChunkError)
}

extension ByteWriter {
    mutating func put(_ row: LayerRow) {
        put(row.parent)
        put(row.byteCount)
        put(row.isFrozen)
        put(row.children)
        put(row.handles)
        put(row.depth)
    }

    mutating func put(_ row: HandleRow) {
        put(row.kind.rawValue)
        put(row.layer)
        put(row.attributes)
    }

    mutating func put(_ change: TreeChange) {
        put(UInt32(change.layers.count))
        for row in change.layers {
            put(row.id)
            put(row)
        }
        put(UInt32(change.dropped.count))
        for layer in change.dropped {
            put(layer.id)
            put(layer.leaves)
        }
        put(UInt32(change.handles.count))
        for row in change.handles {
            put(row.name)
            put(row)
        }
        put(UInt32(change.removedHandles.count))
        for name in change.removedHandles { put(name) }
    }
}

extension ByteReader {
    mutating func getLayerRow(_ id: UInt64) -> LayerRow {
        LayerRow(
            id: id, parent: get(UInt64.self), byteCount: get(UInt64.self), isFrozen: getFlag(),
            children: get(UInt32.self), handles: get(UInt32.self), depth: get(UInt32.self))
    }

    mutating func getHandleRow(_ name: Bytes) -> HandleRow {
        let kind = HandleRow.Kind(rawValue: get(UInt8.self))
        if kind == nil { fail() }
        return HandleRow(name: name, kind: kind ?? .volume, layer: get(UInt64.self), attributes: getString())
    }

    mutating func getTreeChange(_ kind: TreeChange.Kind) -> TreeChange {
        var change = TreeChange(kind: kind)
        for _ in 0..<getCount() {
            let id = get(UInt64.self)
            change.layers.append(getLayerRow(id))
        }
        for _ in 0..<getCount() {
            change.dropped.append(TreeChange.Dropped(id: get(UInt64.self), leaves: get(UInt32.self)))
        }
        for _ in 0..<getCount() {
            let name = getBytes()
            change.handles.append(getHandleRow(name))
        }
        for _ in 0..<getCount() { change.removedHandles.append(getBytes()) }
        return change
    }

    /// How many items follow, each of at least a byte.
    private mutating func getCount() -> Int {
        let count = Int(get(UInt32.self))
        guard count <= remaining else {
            fail()
            return 0
        }
        return count
    }
}
