import Foundation

/// The table that a run ends with.
struct Report {
    enum Budget {
        case none
        case atLeast(Double)
        case atMost(Double)
    }

    private struct Line {
        let name: String
        let value: Double
        let budget: Budget
        let detail: String
    }

    private var lines: [Line] = []

    /// Notes a figure, and prints it at once.
    mutating func add(_ name: String, _ value: Double, _ budget: Budget, _ detail: String) {
        let line = Line(name: name, value: value, budget: budget, detail: detail)
        lines.append(line)
        Swift.print(Self.text(line))
        // A run that dies later must not take its figures with it.
        fflush(nil)
    }

    var hasMissed: Bool { lines.contains { Self.verdict($0) == "MISSED" } }

    func print() {
        Swift.print("\n| measure | value | budget | | detail |\n|---|---|---|---|---|")
        for line in lines { Swift.print(Self.text(line)) }
    }

    private static func text(_ line: Line) -> String {
        let bound =
            switch line.budget {
            case .none: ""
            case .atLeast(let least): ">= \(number(least))"
            case .atMost(let most): "<= \(number(most))"
            }
        return "| \(line.name) | \(number(line.value)) | \(bound) | \(verdict(line)) | \(line.detail) |"
    }

    private static func verdict(_ line: Line) -> String {
        switch line.budget {
        case .none: ""
        case .atLeast(let least): line.value >= least ? "ok" : "MISSED"
        case .atMost(let most): line.value <= most ? "ok" : "MISSED"
        }
    }

    private static func number(_ value: Double) -> String {
        String(format: abs(value) >= 100 ? "%.0f" : "%.2f", value)
    }
}

/// The middle value; the lower of two middles.
func median(_ values: [Double]) -> Double {
    precondition(!values.isEmpty)
    return values.sorted()[(values.count - 1) / 2]
}

/// SplitMix64, so that every run works on the same bytes.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: next() >> 24) }
            initialized = count
        }
    }

    /// Words out of a vocabulary with some noise between: lz4 makes about 1.5 to 1 of it, near what it makes of ordinary text.
    mutating func text(_ count: Int) -> [UInt8] {
        let words = (0..<4096).map { _ in bytes(Int.random(in: 3...9, using: &self)) }
        var out: [UInt8] = []
        out.reserveCapacity(count + 16)
        while out.count < count {
            // Squared, so that some words are much more frequent than others.
            let rank = Double.random(in: 0..<1, using: &self)
            out += words[Int(rank * rank * rank * Double(words.count))]
            out.append(0x20)
        }
        return Array(out.prefix(count))
    }
}

/// Runs a program and returns what it printed on either stream.
func output(of program: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: data, as: UTF8.self)
    guard process.terminationStatus == 0 else {
        throw BenchmarkError("\(program) \(arguments.joined(separator: " ")) failed (install it?): \(text)")
    }
    return text
}
