import ArgumentParser
import Daemon

/// The operator's command: talks to a running daemon over the socket in its data folder.
@main
struct Apus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apus",
        abstract: "Looks into, and changes, an Apus daemon.",
        version: DaemonVersion.text,
        subcommands: [
            StatusCommand.self, MetricsCommand.self, VolumeCommand.self, ProjectCommand.self, UserCommand.self,
            RoleCommand.self,
            PasswordCommand.self, TokenKeysCommand.self, CheckCommand.self, ConfigCommand.self,
        ])

    /// Exit codes say: 0 done, 1 refused or failed, 64 wrong arguments.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as DaemonError {
            Terminal.error("apus: \(error)")
            Terminal.exit(1)
        } catch {
            exit(withError: error)
        }
    }
}
