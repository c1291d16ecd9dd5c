// The engine's budgets, measured. `APUS_BENCHMARKS=1 swift run -c release apus-bench --help`.
//
// Goals: ratios to a peer measured in the same run, interleaved, since machines drift. Not goals: absolute figures,
// and a verdict on a machine where other work is running.

import Foundation
import Primitives

@main
struct ApusBench {
    static func main() {
        tuneAllocator()
        do {
            let options = try Options(Array(CommandLine.arguments.dropFirst()))
            if options.showsHelp { return print(Options.help) }
            try run(options)
        } catch {
            FileHandle.standardError.write(Data("apus-bench: \(error)\n".utf8))
            exit(2)
        }
    }

    static func run(_ options: Options) throws {
        let manager = FileManager.default
        let folder = options.folder + "/apus-bench-\(ProcessInfo.processInfo.processIdentifier)"
        try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer {
            do { try manager.removeItem(atPath: folder) } catch { print("left behind: \(folder): \(error)") }
        }
        var report = Report()
        for part in options.parts {
            let place = folder + "/" + part.rawValue
            try manager.createDirectory(atPath: place, withIntermediateDirectories: true)
            switch part {
            case .codecs: try CodecsBenchmark(folder: place, isSmoke: options.isSmoke).run(&report)
            case .appends: try AppendsBenchmark(folder: place, isSmoke: options.isSmoke).run(&report)
            case .memory: try MemoryBenchmark(folder: place, isSmoke: options.isSmoke).run(&report)
            case .recovery: try RecoveryBenchmark(folder: place, isSmoke: options.isSmoke).run(&report)
            case .layers: try LayersBenchmark(folder: place, isSmoke: options.isSmoke).run(&report)
            }
        }
        report.print()
        if options.fails, report.hasMissed { exit(1) }
    }
}

/// What the command line asks for.
struct Options {
    enum Part: String, CaseIterable { case codecs, appends, memory, recovery, layers }

    var parts: [Part] = []
    var folder = FileManager.default.temporaryDirectory.path
    var isSmoke = false
    var fails = false
    var showsHelp = false

    static let help = """
        apus-bench [codecs] [appends] [memory] [recovery] [layers]   (none: all of them)
          --folder DIR   where the data goes; measure the disk you mean (default: the temporary folder)
          --smoke        tiny sizes, to see that everything still runs
          --check        exit 1 when a budget is missed
        """

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--smoke": isSmoke = true
            case "--check": fails = true
            case "--help": showsHelp = true
            case "--folder":
                guard let value = rest.popFirst() else { throw BenchmarkError("--folder needs a folder") }
                folder = value
            default:
                guard let part = Part(rawValue: argument) else { throw BenchmarkError("unknown: \(argument)") }
                parts.append(part)
            }
        }
        if parts.isEmpty { parts = Part.allCases }
    }
}

struct BenchmarkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
