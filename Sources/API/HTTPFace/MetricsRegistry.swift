import Primitives
private import Synchronization

/// What the daemon counts, as Prometheus text. Registering takes a lock; counting is one relaxed atomic add.
package final class MetricsRegistry: Sendable {
    private struct Family {
        var name: String
        var help: String
        var type: String
        var series: [(labels: [(String, String)], render: @Sendable (inout String, String, String) -> Void)]
    }

    private let mutex = PosixMutex()
    private let families = PosixGuarded<[Family]>([])

    package init() {}

    /// A counter; the name ends in `_total`. Call once per name and label set, at start.
    package func counter(_ name: String, help: String, labels: [(String, String)] = []) -> Counter {
        let counter = Counter()
        add(name, help, "counter", labels) { text, name, labels in
            text += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(counter.value)\n"
        }
        return counter
    }

    /// A value that is read when it is asked for. `type` is `gauge`, or `counter` for one that is kept elsewhere.
    package func gauge(
        _ name: String, help: String, type: String = "gauge", labels: [(String, String)] = [],
        read: @escaping @Sendable () -> Double
    ) {
        add(name, help, type, labels) { text, name, labels in
            text += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(Self.number(read()))\n"
        }
    }

    /// A histogram of seconds or bytes, with fixed upper bounds in ascending order.
    package func histogram(
        _ name: String, help: String, labels: [(String, String)] = [], bounds: [Double], unit: Double
    ) -> Histogram {
        let histogram = Histogram(bounds: bounds, unit: unit)
        add(name, help, "histogram", labels) { text, name, labels in
            let (counts, sum) = histogram.snapshot()
            Self.renderHistogram(&text, name, labels, bounds: bounds, counts: counts, sum: sum)
        }
        return histogram
    }

    /// A histogram that somebody else keeps: cumulative counts are made here from the counts of each bucket,
    /// of which the last is for everything above the last bound.
    package func histogram(
        _ name: String, help: String, labels: [(String, String)] = [], bounds: [Double],
        read: @escaping @Sendable () -> (counts: [UInt64], sum: Double)
    ) {
        add(name, help, "histogram", labels) { text, name, labels in
            let (counts, sum) = read()
            Self.renderHistogram(&text, name, labels, bounds: bounds, counts: counts, sum: sum)
        }
    }

    /// The whole registry in Prometheus' text format 0.0.4.
    package func render() -> String {
        let families = mutex.withLock { self.families.value }
        var text = ""
        for family in families {
            text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.type)\n"
            for series in family.series {
                let labels = series.labels.map { "\($0.0)=\"\(Self.escape($0.1))\"" }.joined(separator: ",")
                series.render(&text, family.name, labels)
            }
        }
        return text
    }

    private func add(
        _ name: String, _ help: String, _ type: String, _ labels: [(String, String)],
        render: @escaping @Sendable (inout String, String, String) -> Void
    ) {
        mutex.withLock {
            if let index = families.value.firstIndex(where: { $0.name == name }) {
                precondition(families.value[index].type == type, "\(name) is registered with another type")
                families.value[index].series.append((labels, render))
            } else {
                families.value.append(Family(name: name, help: help, type: type, series: [(labels, render)]))
            }
        }
    }

    private static func renderHistogram(
        _ text: inout String, _ name: String, _ labels: String, bounds: [Double], counts: [UInt64], sum: Double
    ) {
        let lead = labels.isEmpty ? "" : labels + ","
        var total: UInt64 = 0
        for (index, bound) in bounds.enumerated() {
            total &+= index < counts.count ? counts[index] : 0
            text += "\(name)_bucket{\(lead)le=\"\(number(bound))\"} \(total)\n"
        }
        for count in counts.dropFirst(bounds.count) { total &+= count }
        text += "\(name)_bucket{\(lead)le=\"+Inf\"} \(total)\n"
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        text += "\(name)_sum\(braces) \(number(sum))\n\(name)_count\(braces) \(total)\n"
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
        return String(value)
    }

    private static func escape(_ text: String) -> String {
        var out = ""
        for c in text {
            switch c {
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            case "\n": out += "\\n"
            default: out.append(c)
            }
        }
        return out
    }
}

/// A number that only grows.
package final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)
    package init() {}
    @inline(__always)
    package func add(_ amount: Int = 1) {
        count.wrappingAdd(UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
    }
    package var value: UInt64 { count.load(ordering: .relaxed) }
}

/// Counts of observations by size. Observations are whole numbers of a small unit (nanoseconds, bytes), so that
/// one atomic add keeps the sum too.
package final class Histogram: @unchecked Sendable {
    private let bounds: [UInt64]
    private let unit: Double
    // SAFETY: allocated once, never moved; every access is atomic.
    private let buckets: UnsafeMutablePointer<Atomic<UInt64>>
    private let sum = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - bounds: upper bounds as they are rendered, ascending.
    ///   - unit: how many observed units one rendered unit has, e.g. 1e9 for seconds observed in nanoseconds.
    package init(bounds: [Double], unit: Double) {
        self.bounds = bounds.map { UInt64($0 * unit) }
        self.unit = unit
        buckets = .allocate(capacity: bounds.count + 1)
        for index in 0...bounds.count { (buckets + index).initialize(to: Atomic(0)) }
    }

    deinit {
        buckets.deinitialize(count: bounds.count + 1)
        buckets.deallocate()
    }

    package func observe(_ amount: UInt64) {
        var index = 0
        while index < bounds.count, amount > bounds[index] { index += 1 }
        buckets[index].wrappingAdd(1, ordering: .relaxed)
        sum.wrappingAdd(amount, ordering: .relaxed)
    }

    package func snapshot() -> (counts: [UInt64], sum: Double) {
        ((0...bounds.count).map { buckets[$0].load(ordering: .relaxed) }, Double(sum.load(ordering: .relaxed)) / unit)
    }
}
