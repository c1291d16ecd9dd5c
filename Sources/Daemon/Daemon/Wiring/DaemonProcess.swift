private import Glibc
private import Logging
private import Primitives

/// The process `apusd`: reads its configuration, runs a `RunningDaemon`, and turns signals into an orderly end.
package enum DaemonProcess {
    /// Exit codes: 0 stopped as told, 1 could not start or had to stop.
    package static func run(overrides: [(key: String, value: String)], file: String?, anyPort: Bool, welcome: Bool)
        -> Never
    {
        tuneAllocator()
        Signals.block()
        umask(0o077)
        let (stops, stop) = AsyncStream<Int32>.makeStream(bufferingPolicy: .bufferingOldest(1))
        // SAFETY: the one task that is nobody's child: it is the daemon itself, and the process ends with it. The main
        // thread has to wait for signals meanwhile.
        Task {
            do {
                let configuration = try ConfigurationSources.load(
                    overrides: overrides, environment: Terminal.environment, file: file)
                try await RunningDaemon(configuration: configuration, anyPort: anyPort, welcome: welcome).run(
                    until: stops)
                exit(0)
            } catch {
                Terminal.error("apusd: \(error)")
                exit(1)
            }
        }
        Signals.wait { number in stop.yield(number) }
    }
}
