import ArgumentParser
import Daemon

struct TokenKeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token-keys", abstract: "The keys that tokens are made with.",
        subcommands: [TokenKeysRotateCommand.self])
}

struct TokenKeysRotateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Makes new tokens with a new key; tokens of the keys before it hold until they expire.")
    @OptionGroup var daemon: DataOption

    func run() throws { Terminal.print(try daemon.client.ask(.rotateTokenKeys).text) }
}
