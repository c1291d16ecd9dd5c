import ArgumentParser
import Daemon

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "The daemon's configuration.",
        subcommands: [ConfigCheckCommand.self, ConfigKeysCommand.self, ConfigSampleCommand.self])
}

struct ConfigCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Says whether apusd would start with this file (and this environment).")
    @Argument(help: "The JSON file.") var file: String

    func run() throws {
        let configuration = try ConfigurationSources.load(overrides: [], environment: Terminal.environment, file: file)
        try configuration.checkListeners()
        Terminal.print("\(file) is good. Data in \(configuration.dataFolder).")
    }
}

struct ConfigKeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Lists every key: its default, its environment variable, what it does.")

    func run() { Terminal.print(ConfigurationManual.table) }
}

struct ConfigSampleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sample", abstract: "Prints a configuration file with every key at its default.")

    func run() { Terminal.print(ConfigurationManual.sample) }
}
