import Chunks
import Disks
import Primitives

/// One step of a trace. Each makes sense whatever came before it, so that steps can be left out.
enum Step: Sendable, CustomStringConvertible {
    case putAccount(Int, attributes: Int)
    case putContainer(Int, Int, attributes: Int)
    case deleteContainer(Int, Int)
    /// Inline; `isDeferred`: left in the queue, to share a group with what follows.
    case put(Int, Int, Int, BodySpec, isDeferred: Bool)
    case upload(Int, Int, Int, BodySpec)
    /// An upload that nothing ever names; finished before it is dropped, or cancelled half way.
    case abandon(BodySpec, finishes: Bool)
    case setMetadata(Int, Int, Int, attributes: Int)
    case delete(Int, Int, Int)
    case volume(VolumeStep)
    case list(Int, Int, seed: UInt64)
    case read(Int, Int, Int, seed: UInt64)
    /// Commit what was deferred.
    case flush
    case freeze
    case seal
    case reopen
    case kill
    case crash(seed: UInt64)
    case loseIndex(Int)
    case fault(DiskCall, index: Int, code: Int32, isShort: Bool, isSticky: Bool, DiskFault.AfterFailedSync)
    case indexFault(copy: Int, isCheckpoint: Bool)
    /// The disk has this many pages left, or as many as it likes.
    case full(pages: Int)
    case roomy

    var description: String {
        switch self {
        case .putAccount(let a, let n): ".putAccount(\(a), attributes: \(n))"
        case .putContainer(let a, let c, let n): ".putContainer(\(a), \(c), attributes: \(n))"
        case .deleteContainer(let a, let c): ".deleteContainer(\(a), \(c))"
        case .put(let a, let c, let o, let body, let deferred):
            ".put(\(a), \(c), \(o), BodySpec(seed: \(body.seed), size: \(body.size), kind: .\(body.kind)), isDeferred: \(deferred))"
        case .upload(let a, let c, let o, let body):
            ".upload(\(a), \(c), \(o), BodySpec(seed: \(body.seed), size: \(body.size), kind: .\(body.kind)))"
        case .abandon(let body, let finishes):
            ".abandon(BodySpec(seed: \(body.seed), size: \(body.size), kind: .\(body.kind)), finishes: \(finishes))"
        case .setMetadata(let a, let c, let o, let n): ".setMetadata(\(a), \(c), \(o), attributes: \(n))"
        case .delete(let a, let c, let o): ".delete(\(a), \(c), \(o))"
        case .volume(let step): ".volume(.\(step))"
        case .list(let a, let c, let seed): ".list(\(a), \(c), seed: \(seed))"
        case .read(let a, let c, let o, let seed): ".read(\(a), \(c), \(o), seed: \(seed))"
        case .flush: ".flush"
        case .freeze: ".freeze"
        case .seal: ".seal"
        case .reopen: ".reopen"
        case .kill: ".kill"
        case .crash(let seed): ".crash(seed: \(seed))"
        case .loseIndex(let copy): ".loseIndex(\(copy))"
        case .fault(let call, let index, let code, let short, let sticky, let after):
            ".fault(.\(call), index: \(index), code: \(code), isShort: \(short), isSticky: \(sticky), .\(after))"
        case .indexFault(let copy, let checkpoint): ".indexFault(copy: \(copy), isCheckpoint: \(checkpoint))"
        case .full(let pages): ".full(pages: \(pages))"
        case .roomy: ".roomy"
        }
    }
}

/// Makes traces from a seed.
struct TraceGenerator {
    var random: SplitMix64
    /// Steps that end the process or break something: crash, kill, faults, a full disk.
    var hasBadDays = true
    var uploads = true
    var volumes = true
    var bodyMax = inlineBytesMax

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    private mutating func account() -> Int { random.oneIn(4) ? 1 : 0 }
    private mutating func container() -> Int { random.below(3) }
    private mutating func object() -> Int { random.below(8) }

    mutating func body(_ range: ClosedRange<Int>) -> BodySpec {
        let edges = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, 131071, 131072]
        var size: Int
        if range.lowerBound == 0, random.oneIn(3) {
            size = edges[random.below(edges.count)]
        } else if random.oneIn(2) {
            size = range.lowerBound + random.below(min(9000, range.count))
        } else {
            size = range.lowerBound + random.below(range.count)
        }
        size = min(size, range.upperBound)
        return BodySpec(seed: random.next() % 1000, size: size, kind: [.zeros, .text, .noise][random.below(3)])
    }

    mutating func step() -> Step {
        if volumes, random.oneIn(3) { return .volume(volumeStep()) }
        switch random.below(100) {
        case 0..<3: return .putAccount(account(), attributes: random.below(200))
        case 3..<12: return .putContainer(account(), container(), attributes: random.below(200))
        case 12..<15: return .deleteContainer(account(), container())
        case 15..<42:
            return .put(account(), container(), object(), body(0...bodyMax), isDeferred: random.oneIn(3))
        case 42..<47:
            guard uploads else { return .flush }
            return .upload(account(), container(), object(), body(131073...400_000))
        case 47..<49:
            guard uploads else { return .flush }
            return .abandon(body(131073...300_000), finishes: random.oneIn(2))
        case 49..<55: return .setMetadata(account(), container(), object(), attributes: random.below(300))
        case 55..<65: return .delete(account(), container(), object())
        case 65..<71: return .list(account(), container(), seed: random.next() % 10000)
        case 71..<77: return .read(account(), container(), object(), seed: random.next() % 10000)
        case 77..<79: return .flush
        case 79..<84: return .freeze
        case 84..<87: return .seal
        case 87..<90: return .reopen
        default: break
        }
        guard hasBadDays else { return .freeze }
        switch random.below(10) {
        case 0, 1: return .kill
        case 2, 3, 4: return .crash(seed: random.next() % 100_000)
        case 5: return .loseIndex(random.below(2))
        case 6:
            let calls: [DiskCall] = [.write, .write, .sync, .sync, .allocate, .rename, .syncDirectory]
            return .fault(
                calls[random.below(calls.count)], index: random.below(4), code: random.oneIn(2) ? 5 : 28,
                isShort: random.oneIn(3), isSticky: random.oneIn(2), DiskFault.AfterFailedSync.allCases[random.below(3)]
            )
        case 7: return .indexFault(copy: random.below(2), isCheckpoint: random.oneIn(2))
        case 8: return .full(pages: random.below(200))
        default: return .roomy
        }
    }

    mutating func trace(_ count: Int) -> [Step] {
        var steps: [Step] = [.putContainer(0, 0, attributes: 3)]
        while steps.count < count { steps.append(step()) }
        return steps
    }
}

/// Leaves steps out while the failure stays, in ever smaller pieces.
func shrink(_ steps: [Step], budget: Int = 150, fails: ([Step]) -> Bool) -> [Step] {
    var best = steps
    var piece = max(1, best.count / 2)
    var left = budget
    while piece >= 1, left > 0 {
        var at = 0
        var removed = false
        while at < best.count, left > 0 {
            var candidate = best
            candidate.removeSubrange(at..<min(at + piece, best.count))
            left -= 1
            if !candidate.isEmpty, fails(candidate) {
                best = candidate
                removed = true
            } else {
                at += piece
            }
        }
        if piece == 1, !removed { break }
        piece = max(1, piece / 2)
        if piece == 1, removed, best.count == 1 { break }
    }
    return best
}
