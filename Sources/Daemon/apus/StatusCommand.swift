import ArgumentParser
import Daemon

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "Says how the daemon is.")
    @OptionGroup var daemon: DataOption
    @Flag(name: .long, help: "One JSON object.") var json = false

    func run() throws {
        let reply = try daemon.client.ask(.status)
        Terminal.print(json ? Terminal.json(reply.fields) : reply.text)
    }
}
