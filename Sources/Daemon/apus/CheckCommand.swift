import ArgumentParser
import Daemon

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck",
        abstract: "Checks every invariant of a store whose daemon is stopped.",
        discussion: "Exit code 0: all is well. 1: something is not, and it is said what.")
    @OptionGroup var daemon: DataOption
    @Flag(name: .long, help: "Do not read the objects' bytes.") var quick = false

    func run() throws {
        let report = try OfflineCheck.run(dataFolder: daemon.folder, readsBytes: !quick)
        for line in report.lines { Terminal.print(line) }
        if !report.isSound { Terminal.exit(1) }
    }
}
