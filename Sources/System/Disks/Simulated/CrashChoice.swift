/// Which of the changes that were not certain at the moment of the crash reached the medium.
package struct CrashChoice: Sendable, CustomStringConvertible {
    enum Kind: Sendable {
        case all
        case none
        case allBut(Int)
        case only(Int)
        /// Everything, but of write `index` only the grains for which the test holds.
        case torn(Int, grain: Int, keepsFrom: Int, keepsTo: Int)
        /// Everything, but of write `index` all grains except these.
        case hole(Int, grain: Int, from: Int, to: Int)
        case random(seed: UInt64, grain: Int)
    }
    let kind: Kind

    /// As after a kill of the process: the machine wrote all of it.
    package static let all = CrashChoice(kind: .all)
    /// Only what was synced.
    package static let none = CrashChoice(kind: .none)
    package static func random(seed: UInt64, grain: Int = 512) -> CrashChoice {
        CrashChoice(kind: .random(seed: seed, grain: grain))
    }

    package var description: String {
        switch kind {
        case .all: "all"
        case .none: "none"
        case .allBut(let i): "all but \(i)"
        case .only(let i): "only \(i)"
        case .torn(let i, let grain, let from, let to): "write \(i) keeps \(grain)-byte grains \(from)..<\(to)"
        case .hole(let i, let grain, let from, let to): "write \(i) lacks \(grain)-byte grains \(from)..<\(to)"
        case .random(let seed, let grain): "random subset \(seed) torn at \(grain)"
        }
    }

    private func generator(_ index: Int, _ seed: UInt64, _ salt: UInt64) -> SplitMix64 {
        var mixed = SplitMix64(seed: seed &+ salt &* 0x1_0001)
        return SplitMix64(seed: mixed.next() ^ UInt64(index) &* 0x9E37_79B9)
    }

    /// Whether a name change is in.
    func includes(_ index: Int) -> Bool {
        switch kind {
        case .all, .torn, .hole: true
        case .none: false
        case .allBut(let i): index != i
        case .only(let i): index == i
        case .random(let seed, _):
            {
                var random = generator(index, seed, 1)
                return random.oneIn(2)
            }()
        }
    }

    /// Whether a change of size, by itself or by a write behind the end, is in.
    func includesSize(_ index: Int) -> Bool {
        guard case .random(let seed, _) = kind else { return includes(index) }
        var random = generator(index, seed, 2)
        return !random.oneIn(4)
    }

    /// The parts of a write that are in, relative to its start. Grains lie on the file's own multiples.
    func ranges(_ index: Int, offset: Int, count: Int) -> [Range<Int>] {
        func grains(_ grain: Int, _ isIn: (Int) -> Bool) -> [Range<Int>] {
            var result: [Range<Int>] = []
            var at = 0
            var number = 0
            while at < count {
                let end = min(count, (offset + at) / grain * grain + grain - offset)
                if isIn(number) {
                    if let last = result.last, last.upperBound == at {
                        result[result.count - 1] = last.lowerBound..<end
                    } else {
                        result.append(at..<end)
                    }
                }
                at = end
                number += 1
            }
            return result
        }
        switch kind {
        case .torn(index, let grain, let from, let to): return grains(grain) { $0 >= from && $0 < to }
        case .hole(index, let grain, let from, let to): return grains(grain) { $0 < from || $0 >= to }
        case .random(let seed, let grain):
            var random = generator(index, seed, 3)
            switch random.below(4) {
            case 0: return []
            case 1, 2: return [0..<count]
            default: return grains(grain) { _ in random.oneIn(2) }
            }
        default: return includes(index) ? [0..<count] : []
        }
    }
}

/// How many crash images are built, and of which kinds.
package struct CrashPlan: Sendable {
    /// Every `cutStride`-th cut point of the log, from `firstCut`.
    package var firstCut = 0
    package var cutStride = 1
    package var dropsOne = true
    package var keepsOne = true
    /// At most this many tears of each grain, for each pending write (both ends and the middle come first).
    package var tearsPerWrite = 3
    package var tearGrains = [512, 4096]
    package var randomSubsets = 4
    package var seed: UInt64 = 1

    package init() {}

    /// The choices worth making among these pending changes; never the same one twice.
    func choices(_ pending: [CrashState.Pending], cut: Int) -> [CrashChoice] {
        var result: [CrashChoice] = [.all]
        guard !pending.isEmpty else { return result }
        result.append(.none)
        if pending.count > 1 {
            for index in pending.indices {
                if dropsOne { result.append(CrashChoice(kind: .allBut(index))) }
                if keepsOne, pending.count > 2 { result.append(CrashChoice(kind: .only(index))) }
            }
        }
        var random = SplitMix64(seed: seed &+ UInt64(cut) &* 0x9E37)
        for (index, entry) in pending.enumerated() where entry.isWrite {
            for grain in tearGrains {
                let count = (entry.writeOffset % grain + entry.writeBytes + grain - 1) / grain
                guard count > 1 else { continue }
                var tears: [CrashChoice.Kind] = [
                    .torn(index, grain: grain, keepsFrom: 0, keepsTo: 1),
                    .torn(index, grain: grain, keepsFrom: 1, keepsTo: count),
                    .torn(index, grain: grain, keepsFrom: 0, keepsTo: count - 1),
                    .hole(index, grain: grain, from: count / 2, to: count / 2 + 1),
                ]
                while tears.count < tearsPerWrite {
                    let at = 1 + random.below(count - 1)
                    tears.append(
                        random.oneIn(2)
                            ? .torn(index, grain: grain, keepsFrom: 0, keepsTo: at)
                            : .torn(index, grain: grain, keepsFrom: at, keepsTo: count))
                }
                result += tears.prefix(tearsPerWrite).map(CrashChoice.init)
            }
        }
        for _ in 0..<randomSubsets {
            result.append(.random(seed: random.next(), grain: random.oneIn(4) ? 4096 : 512))
        }
        return result
    }
}
