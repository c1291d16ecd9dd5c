import Logging
private import ServiceLifecycle

/// The moment when everything answers: the clients' files are written and the world is told.
struct Ready: Sendable {
    let files: ClientFiles
    let endpoints: ClientFiles.Endpoints
    let folder: String
    let printsReady: Bool
    let welcome: Bool
    let began: ContinuousClock.Instant
    let logger: Logger

    func announce() async throws {
        try await Blocking.run("ready") { [files, endpoints] in try files.write(endpoints) }
        let milliseconds = (ContinuousClock().now - began) / .milliseconds(1)
        logger.info(
            "ready",
            metadata: [
                "identity": "\(endpoints.identity)", "object": "\(endpoints.object)",
                "after_ms": "\(Int(milliseconds))",
            ])
        if welcome {
            Terminal.print(Welcome.text(endpoints: endpoints, folder: folder, signsInHere: files.tellsSignIn))
        }
        if printsReady { Terminal.print("ready") }
    }
}
