import Synchronization

extension MemoryVolumes {
    package func snapshotsLeft(of volume: String) async throws(DriverError) -> Int { snapshotsMax }

    package func openImage(_ source: CloneSource, since base: String?) async throws(DriverError) -> any VolumeImage {
        let (name, owner): (String, String) =
            switch source {
            case .volume(let id): (id, id)
            case .snapshot(let id, let owner): (id, owner)
            }
        let (content, old) = try await around(.openImage(name)) { state throws(DriverError) in
            let content: Content? =
                switch source {
                case .volume(let id): state.volumes[id]
                case .snapshot(let id, let owner): state.snapshots[owner]?[id]
                }
            guard let content else { throw .absent("\(source)") }
            guard let base else { return (content, Content?.none) }
            guard let old = state.snapshots[owner]?[base] else { throw .absent(base) }
            return (content, old)
        }
        return Image(driver: self, content: content, base: old)
    }

    package func openFilling(_ id: String) async throws(DriverError) -> any VolumeFilling {
        try await around(.fill(id)) { state throws(DriverError) in
            guard state.volumes[id] != nil else { throw .absent(id) }
        }
        return Filling(driver: self, id: id)
    }

    /// Its content is a value: whatever happens to the volume, it stays as it was.
    private struct Image: VolumeImage {
        let driver: MemoryVolumes
        let content: Content
        let base: Content?

        var bytes: UInt64 { content.bytes }

        func changes(from offset: UInt64) async throws(DriverError) -> ImageChanges {
            let unit = UInt64(content.blockBytes)
            func isZero(_ data: [UInt8]?) -> Bool { data?.allSatisfy { $0 == 0 } ?? true }
            let blocks = Set(content.blocks.keys).union(base?.blocks.keys.map { $0 } ?? []).filter { block in
                let (new, old) = (content.blocks[block], base?.blocks[block])
                return !(isZero(new) && isZero(old)) && new != old
            }
            var runs: [ImageChanges.Run] = []
            for block in blocks.sorted() {
                let range = block * unit..<(block + 1) * unit
                let zero = isZero(content.blocks[block])
                if let last = runs.last, last.range.upperBound == range.lowerBound, last.isZero == zero {
                    runs[runs.count - 1].range = last.range.lowerBound..<range.upperBound
                } else {
                    runs.append(ImageChanges.Run(range, isZero: zero))
                }
            }
            return ImageChanges(runs: runs.filter { $0.range.lowerBound >= offset }, next: nil)
        }

        func read(_ range: Range<UInt64>) async throws(DriverError) -> [UInt8] {
            try await driver.around(.readImage) { _ throws(DriverError) in }
            let unit = UInt64(content.blockBytes)
            guard range.lowerBound % unit == 0, range.upperBound % unit == 0, range.upperBound <= content.bytes,
                range.count <= ImageLimits.readBytesMax
            else { throw .invalid("\(range) is not to be read") }
            var out: [UInt8] = []
            out.reserveCapacity(range.count)
            for block in range.lowerBound / unit..<range.upperBound / unit {
                let data = content.blocks[block] ?? []
                out += data.prefix(content.blockBytes)
                out += [UInt8](repeating: 0, count: content.blockBytes - min(data.count, content.blockBytes))
            }
            return out
        }
    }

    private struct Filling: VolumeFilling {
        let driver: MemoryVolumes
        let id: String

        func zero(_ range: Range<UInt64>) async throws(DriverError) {
            let id = id
            try await driver.around(.fill(id)) { state throws(DriverError) in
                guard var content = state.volumes[id] else { throw .absent(id) }
                let unit = UInt64(content.blockBytes)
                guard range.lowerBound % unit == 0, range.upperBound % unit == 0, range.upperBound <= content.bytes
                else {
                    throw .invalid("\(range) is not of \(id)")
                }
                content.blocks = content.blocks.filter { !range.contains($0.key * unit) }
                state.volumes[id] = content
            }
        }

        func write(_ data: [UInt8], at offset: UInt64) async throws(DriverError) {
            let id = id
            try await driver.around(.fill(id)) { state throws(DriverError) in
                guard let content = state.volumes[id] else { throw .absent(id) }
                let unit = content.blockBytes
                guard offset % UInt64(unit) == 0, data.count % unit == 0, data.count <= ImageLimits.readBytesMax,
                    offset + UInt64(data.count) <= content.bytes
                else { throw .invalid("\(data.count) bytes at \(offset) are not of \(id)") }
                for at in stride(from: 0, to: data.count, by: unit) {
                    let block = (offset + UInt64(at)) / UInt64(unit)
                    state.volumes[id]?.blocks[block] = Array(data[at..<at + unit])
                }
            }
        }

        func finish() async throws(DriverError) {
            let id = id
            try await driver.around(.fill(id)) { state throws(DriverError) in
                guard state.volumes[id] != nil else { throw .absent(id) }
            }
        }
    }
}
