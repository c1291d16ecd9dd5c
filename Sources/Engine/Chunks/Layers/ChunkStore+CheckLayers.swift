import Primitives

extension ChunkStore {
    /// Every handle names a layer, every layer's counts are right, who is stood on is frozen, and every leaf is somebody's;
    /// and, if `readsBytes`, every block of every volume and snapshot verifies.
    func checkLayers(_ report: inout CheckReport, readsBytes: Bool) throws(ChunkError) {
        let layers = try allLayers(&report)
        report.layers = layers.count
        var children: [UInt64: UInt32] = [:]
        for row in layers.values where row.parent != 0 {
            children[row.parent, default: 0] += 1
            guard let parent = layers[row.parent] else {
                report.note("layer \(row.id) stands on \(row.parent), which does not exist")
                continue
            }
            if !parent.isFrozen { report.note("layer \(parent.id) is stood on and not frozen") }
            if row.depth != parent.depth + 1 { report.note("layer \(row.id) says its depth is \(row.depth)") }
            if row.byteCount < parent.byteCount { report.note("layer \(row.id) is smaller than what it stands on") }
        }
        var handles: [UInt64: UInt32] = [:]
        for handle in try allHandles(&report) {
            switch handle.kind {
            case .volume: report.volumes += 1
            case .snapshot: report.snapshots += 1
            }
            handles[handle.layer, default: 0] += 1
            guard let row = layers[handle.layer] else {
                report.note("\(handle.name) names layer \(handle.layer), which does not exist")
                continue
            }
            if row.isFrozen != (handle.kind == .snapshot) {
                report.note("\(handle.name) is a \(handle.kind) of a layer that is \(row.isFrozen ? "" : "not ")frozen")
            }
            if readsBytes { try read(handle.name, &report) }
        }
        for row in layers.values.sorted(by: { $0.id < $1.id }) {
            if row.children != children[row.id, default: 0] || row.handles != handles[row.id, default: 0] {
                report.note(
                    "layer \(row.id) counts \(row.children) layers and \(row.handles) names; it has \(children[row.id, default: 0]), \(handles[row.id, default: 0])"
                )
            }
            if row.children == 0, row.handles == 0 { report.note("layer \(row.id) is nobody's") }
        }
        try checkLeaves(&report, layers)
    }

    private func read(_ name: Bytes, _ report: inout CheckReport) throws(ChunkError) {
        let volume: LayeredVolume
        do throws(LayerError) {
            volume = try self.volume(name, threads: nil)
        } catch {
            if case .store(let cause) = error { throw cause }
            return report.note("\(name): \(error)")
        }
        let leafBytes = Leaf.blocks * Limits.volumeBlockBytes
        let buffer = AlignedBuffer(leafBytes)
        var offset: UInt64 = 0
        while offset < volume.byteCount {
            let count = Int(min(UInt64(leafBytes), volume.byteCount - offset))
            let first = offset / UInt64(Limits.volumeBlockBytes)
            let blocks = first..<first + UInt64(count / Limits.volumeBlockBytes)
            let runs = try noting(&report, "\(name) at \(offset)") { () throws(ChunkError) in
                try volume.runs(of: blocks, max: Leaf.blocks)
            }
            if let runs, runs.contains(where: \.isMapped) {
                let isRead: Void? = try noting(&report, "\(name) at \(offset)") { () throws(ChunkError) in
                    try volume.read(at: offset, into: buffer.mutableRange(0, count))
                }
                if isRead != nil { report.framesVerified += 1 }
            }
            offset += UInt64(count)
        }
    }

    private func allLayers(_ report: inout CheckReport) throws(ChunkError) -> [UInt64: LayerRow] {
        var layers: [UInt64: LayerRow] = [:]
        var bad: [String] = []
        try forEachRow(IndexKey.layer) { key, value in
            var reader = ByteReader(value)
            guard key.count == 9 else { return bad.append("a layer's key of \(key.count) bytes") }
            let row = reader.getLayerRow(IndexKey.bigEndian(key[1...]))
            if reader.isComplete { layers[row.id] = row } else { bad.append("layer \(row.id) can't be decoded") }
        }
        for problem in bad { report.note(problem) }
        memoryMutex.withLock {
            for overlay in [memory.value.frozen, memory.value.active] {
                guard let overlay else { continue }
                for id in overlay.droppedLayers.keys { layers[id] = nil }
                layers.merge(overlay.layers) { $1 }
            }
        }
        return layers
    }

    private func allHandles(_ report: inout CheckReport) throws(ChunkError) -> [HandleRow] {
        do throws(LayerError) {
            return try handles(prefix: Bytes([UInt8]()))
        } catch {
            guard case .store(let cause) = error else { return [] }
            if case .corruptIndex = cause {
                report.note("the names of volumes: \(cause)")
                return []
            }
            throw cause
        }
    }

    private func checkLeaves(_ report: inout CheckReport, _ layers: [UInt64: LayerRow]) throws(ChunkError) {
        var swept = Set<UInt64>()
        try forEachRow(IndexKey.swept) { key, _ in swept.insert(IndexKey.bigEndian(key[1...])) }
        var strays = Set<UInt64>()
        var bad: [String] = []
        try forEachRow(IndexKey.block) { key, value in
            guard key.count == 13 else { return bad.append("a leaf's key of \(key.count) bytes") }
            let owner = IndexKey.bigEndian(key[1..<9])
            do throws(ChunkError) {
                _ = try Leaf(value)
            } catch {
                bad.append("a leaf of layer \(owner): \(error)")
            }
            if layers[owner] == nil, !swept.contains(owner) { strays.insert(owner) }
        }
        memoryMutex.withLock {
            for overlay in [memory.value.active, memory.value.frozen] {
                guard let overlay else { continue }
                strays.subtract(overlay.droppedLayers.keys)
                for key in overlay.blocks.keys where layers[key.owner] == nil { strays.insert(key.owner) }
                for owner in overlay.trims.keys where layers[owner] == nil { strays.insert(owner) }
            }
        }
        for problem in bad { report.note(problem) }
        for owner in strays.sorted() { report.note("leaves of layer \(owner), which does not exist") }
    }
}
