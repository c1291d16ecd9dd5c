import ArgumentParser
import Daemon

struct RoleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role", abstract: "Roles: who may do what in a project.", subcommands: [RoleAddCommand.self])
}

struct RoleAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "add", abstract: "Gives a user a role on a project.")
    @OptionGroup var daemon: DataOption
    @Argument(help: "admin, manager, member, reader, swiftoperator, ...") var role: String
    @Option(name: .long, help: "Who gets it.") var user: String
    @Option(name: .long, help: "Where it holds.") var project: String

    func run() throws { Terminal.print(try daemon.client.ask(.addRole(role: role, user: user, project: project)).text) }
}
