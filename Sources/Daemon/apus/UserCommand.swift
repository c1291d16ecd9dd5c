import ArgumentParser
import Daemon

struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Users.", subcommands: [UserCreateCommand.self])
}

struct UserCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a user in the domain Default, with a role on a project if one is named."
    )
    @OptionGroup var daemon: DataOption
    @OptionGroup var secret: PasswordOption
    @Argument(help: "The user's name.") var name: String
    @Option(name: .long, help: "A project to work in; also the one the user gets without asking.") var project: String?
    @Option(name: .long, help: "The role there.") var role: String = "member"

    func run() throws {
        let reply = try daemon.client.ask(
            .createUser(
                name: name, password: try secret.password(), project: project, role: project == nil ? nil : role))
        Terminal.print(reply.text)
    }
}
