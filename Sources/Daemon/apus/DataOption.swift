import ArgumentParser
import Daemon

/// Which daemon is meant.
struct DataOption: ParsableArguments {
    @Option(
        name: .long,
        help: "The daemon's data folder; else $APUS_DATA_FOLDER, else ./var if it is one, else /var/lib/apus.")
    var data: String?

    var folder: String { data ?? Terminal.defaultDataFolder() }
    var client: AdminClient { AdminClient(dataFolder: folder) }
}

/// A password that never stands on a command line, where other users of the machine could read it.
struct PasswordOption: ParsableArguments {
    @Flag(name: .long, help: "Read the password from standard input (one line). Without it one is made and printed.")
    var passwordStdin = false

    func password() throws -> String? { passwordStdin ? try Terminal.readPassword() : nil }
}
