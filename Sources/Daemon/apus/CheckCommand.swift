import ArgumentParser
import Daemon

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck",
        abstract: "Checks every invariant of a store whose daemon is stopped; changes nothing.",
        discussion: "Exit code 0: all is well. 1: something is not, and it is said what.")
    @OptionGroup var daemon: DataOption

    func run() throws {
        let report = try OfflineCheck.run(dataFolder: daemon.folder)
        for line in report.lines { Terminal.print(line) }
        if !report.isSound { Terminal.exit(1) }
    }
}
