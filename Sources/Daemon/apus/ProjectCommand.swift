import ArgumentParser
import Daemon

struct ProjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project", abstract: "Projects: each has a storage account.",
        subcommands: [ProjectCreateCommand.self])
}

struct ProjectCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a project in the domain Default.")
    @OptionGroup var daemon: DataOption
    @Argument(help: "Its name.") var name: String
    @Option(name: .long, help: "What it is for.") var description: String = ""

    func run() throws {
        Terminal.print(try daemon.client.ask(.createProject(name: name, description: description)).text)
    }
}
