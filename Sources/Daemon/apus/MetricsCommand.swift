import ArgumentParser
import Daemon

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Prints the metrics as Prometheus text, as /metrics serves them.")
    @OptionGroup var daemon: DataOption

    func run() throws { Terminal.print(try daemon.client.ask(.metrics).text) }
}
