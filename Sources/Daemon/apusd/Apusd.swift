import ArgumentParser
import Daemon

/// The daemon. Without options: the ports of OpenStack on loopback, data in `/var/lib/apus`.
@main
struct Apusd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apusd",
        abstract: "The storage half of an OpenStack cloud in one daemon.",
        discussion: """
            Configuration: command line, then environment (APUS_...), then the --config file, then defaults. \
            `apus config keys` lists every key. SIGTERM or Ctrl-C lets requests finish; a second one ends it at once.
            """,
        version: DaemonVersion.text)

    @Option(name: .long, help: "The data folder (the key \"data\").")
    var data: String?

    @Option(name: .long, help: "A JSON file with configuration, such as Config/apusd.sample.json.")
    var config: String?

    @Flag(name: .long, help: "Take free ports; print \"ready\" and write endpoints.json when they answer.")
    var anyPort = false

    @Option(name: .customLong("set"), help: ArgumentHelp("One key of the configuration.", valueName: "key=value"))
    var overrides: [String] = []

    @Flag(name: .long, help: .hidden)
    var welcome = false

    func run() throws {
        var pairs = try KeyValue.pairs(overrides)
        if let data { pairs.append((key: "data", value: data)) }
        DaemonProcess.run(overrides: pairs, file: config, anyPort: anyPort, welcome: welcome)
    }
}

/// `key=value` arguments.
enum KeyValue {
    static func pairs(_ texts: [String]) throws -> [(key: String, value: String)] {
        try texts.map { text in
            guard let equals = text.firstIndex(of: "=") else {
                throw ValidationError("--set takes key=value, not \"\(text)\".")
            }
            return (key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
        }
    }
}
