import ArgumentParser
import Daemon

struct VolumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume", abstract: "Volumes of all projects, as the operator sees them.",
        subcommands: [
            VolumeListCommand.self, VolumeSpaceCommand.self, VolumeSessionsCommand.self, VolumeEndSessionCommand.self,
        ])
}

struct VolumeListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists all volumes.")
    @OptionGroup var daemon: DataOption

    func run() throws { Terminal.print(try daemon.client.ask(.volumes).text) }
}

struct VolumeSpaceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "space", abstract: "Shows where the space goes: of each volume, or layer by layer of one.",
        discussion: """
            Written is what hosts wrote and did not discard; stored is what that takes after compression, without garbage. A \
            layer that is shared stays when the volume goes: snapshots and copies stand on it.
            """)
    @OptionGroup var daemon: DataOption
    @Argument(help: "The volume's id.") var volume: String?

    func run() throws { Terminal.print(try daemon.client.ask(.volumeSpace(volume: volume)).text) }
}

struct VolumeSessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "Lists the iSCSI sessions of all volumes, or of one.")
    @OptionGroup var daemon: DataOption
    @Argument(help: "The volume's id.") var volume: String?

    func run() throws { Terminal.print(try daemon.client.ask(.volumeSessions(volume: volume)).text) }
}

struct VolumeEndSessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end-session", abstract: "Ends one iSCSI session, once none of its commands runs any more.",
        discussion: "The initiator may log in again: to keep it out, delete its attachment.")
    @OptionGroup var daemon: DataOption
    @Argument(help: "The session's number, as `apus volume sessions` shows it.") var session: UInt64

    func run() throws { Terminal.print(try daemon.client.ask(.endVolumeSession(session: session)).text) }
}
