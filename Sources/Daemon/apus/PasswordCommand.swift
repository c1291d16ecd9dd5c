import ArgumentParser
import Daemon

struct PasswordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "password", abstract: "Passwords.", subcommands: [PasswordResetCommand.self])
}

struct PasswordResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Gives a user a new password; the tokens made with the old one end.",
        discussion: "The admin's is written to openrc and clouds.yaml, too.")
    @OptionGroup var daemon: DataOption
    @OptionGroup var secret: PasswordOption
    @Argument(help: "Whose.") var user: String = "admin"

    func run() throws {
        Terminal.print(try daemon.client.ask(.resetPassword(user: user, password: try secret.password())).text)
    }
}
