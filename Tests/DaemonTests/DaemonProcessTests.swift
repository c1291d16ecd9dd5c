import Foundation
import Testing

@testable import Daemon

/// The programs that were built beside this test.
enum Program {
    static let folder: String = {
        // The bundle lies in the folder that the products are built into.
        let executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = (executable as NSString).deletingLastPathComponent
        for candidate in [beside, Repository.path(".build/debug"), Repository.path(".build/release")]
        where FileManager.default.isExecutableFile(atPath: candidate + "/apusd") { return candidate }
        return ""
    }()

    struct Outcome {
        var code: Int32
        var output: String
        var errors: String
    }

    /// Runs to its end.
    static func run(_ path: String, _ arguments: [String], environment: [String: String] = [:], input: String = "")
        throws -> Outcome
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("APUS_") }.merging(
            environment
        ) { _, new in new }
        let files = try ScratchFolder()
        let output = try files.write("out", ""), errors = try files.write("err", ""),
            text = try files.write("in", input)
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        process.standardInput = FileHandle(forReadingAtPath: text)
        try process.run()
        process.waitUntilExit()
        return Outcome(code: process.terminationStatus, output: try files.text("out"), errors: try files.text("err"))
    }
}

/// One running apusd.
final class RunningProcess {
    let process = Process()
    let folder: String
    private let output = Pipe()

    init(_ folder: String, arguments: [String] = []) throws {
        self.folder = folder
        process.executableURL = URL(fileURLWithPath: Program.folder + "/apusd")
        process.arguments = ["--data", folder, "--any-port"] + arguments
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("APUS_") }
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        var seen = ""
        while !seen.contains("ready\n") {
            let piece = output.fileHandleForReading.availableData
            try #require(!piece.isEmpty, "apusd ended before it was ready")
            seen += String(decoding: piece, as: UTF8.self)
        }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    func apus(_ arguments: String..., input: String = "") throws -> Program.Outcome {
        try Program.run(Program.folder + "/apus", arguments + ["--data", folder], input: input)
    }

    func stop() -> Int32 {
        process.terminate()
        process.waitUntilExit()
        return process.terminationStatus
    }
}

@Suite(
    "The daemon as a process", .serialized,
    .enabled(if: !Program.folder.isEmpty, "apusd was not built beside the tests"))
struct DaemonProcessTests {
    @Test func itSaysReadyLeavesPrivateFilesAnswersItsOperatorAndStops() throws {
        let scratch = try ScratchFolder()
        let daemon = try RunningProcess(scratch.path + "/data")
        for name in ["openrc", "clouds.yaml", "endpoints.json", "admin-password", "control.db", "apus.sock", "lock"] {
            #expect(try scratch.mode("data/" + name) == 0o600, "\(name)")
        }
        for name in ["", "/fernet-keys", "/objects", "/rings"] {
            #expect(try scratch.mode("data" + name) == 0o700, "\(name)")
        }
        let endpoints = try JSONDecoder().decode(
            ClientFiles.Endpoints.self, from: Data(try scratch.text("data/endpoints.json").utf8))
        #expect(endpoints.pid == daemon.process.processIdentifier)
        #expect(try daemon.apus("status").output.hasPrefix("State          serving"))

        let second = try Program.run(Program.folder + "/apusd", ["--data", scratch.path + "/data", "--any-port"])
        #expect(second.code == 1)
        #expect(second.errors.contains("Another apusd"))
        let check = try daemon.apus("fsck")
        #expect(check.code == 1)
        #expect(check.errors.contains("Another apusd"))

        let taken = try Program.run(
            Program.folder + "/apusd",
            [
                "--data", scratch.path + "/other", "--set",
                "object.port=\(endpoints.object.split(separator: ":").last ?? "")", "--set", "identity.port=0", "--set",
                "metrics.enabled=false",
            ])
        #expect(taken.code == 1)
        #expect(taken.errors.contains("another program listens there"))

        #expect(daemon.stop() == 0)
        #expect(try daemon.apus("status").errors.contains("No daemon runs"))
        #expect(try daemon.apus("fsck").code == 0)
        let again = try RunningProcess(scratch.path + "/data")
        let later = try JSONDecoder().decode(
            ClientFiles.Endpoints.self, from: Data(try scratch.text("data/endpoints.json").utf8))
        #expect(later.object == endpoints.object, "a restarted daemon is found where it was")
        #expect(again.stop() == 0)
    }

    @Test func operatorsMakeProjectsUsersRolesAndPasswords() throws {
        let scratch = try ScratchFolder()
        let daemon = try RunningProcess(scratch.path + "/data", arguments: ["--set", "metrics.enabled=false"])
        let project = try daemon.apus("project", "create", "lab")
        #expect(project.code == 0 && project.output.contains("AUTH_"))
        #expect(try daemon.apus("project", "create", "lab").code == 1)
        let made = try daemon.apus("user", "create", "ann", "--project", "lab")
        #expect(made.output.contains("Password: "))
        let given = try daemon.apus("user", "create", "bob", "--password-stdin", input: "correct horse\n")
        #expect(given.code == 0 && !given.output.contains("horse"))
        #expect(try daemon.apus("user", "create", "eve", "--password-stdin", input: "").code == 1)
        #expect(try daemon.apus("user", "create", "dan", "--project", "nowhere").code == 1)
        #expect(try daemon.apus("role", "add", "member", "--user", "bob", "--project", "lab").code == 0)
        #expect(try daemon.apus("role", "add", "emperor", "--user", "bob", "--project", "lab").code == 1)
        let before = try scratch.text("data/openrc")
        let reset = try daemon.apus("password", "reset")
        #expect(reset.code == 0)
        let after = try scratch.text("data/openrc")
        #expect(before != after)
        let password =
            reset.output.split(separator: "Password: ").last.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
            ?? ""
        #expect(after.contains("OS_PASSWORD='\(password)'"))
        #expect(try daemon.apus("token-keys", "rotate").code == 0)
        #expect(try daemon.apus("metrics").output.contains("# TYPE chunks_read_only gauge"))
        #expect(daemon.stop() == 0)
    }

    @Test func operatorsSeeVolumesTheirSpaceAndTheirSessions() throws {
        let scratch = try ScratchFolder()
        let daemon = try RunningProcess(scratch.path + "/data")
        #expect(try daemon.apus("volume", "list").output.hasPrefix("ID  NAME  SIZE  STATUS"))
        #expect(try daemon.apus("volume", "space").output.hasPrefix("ID  NAME  SIZE  WRITTEN  STORED  SHARED"))
        #expect(try daemon.apus("volume", "sessions").output.hasPrefix("SESSION  VOLUME  INITIATOR"))
        let unknown = try daemon.apus("volume", "space", "00000000-0000-4000-8000-000000000000")
        #expect(unknown.code == 1 && unknown.errors.contains("There is no volume"))
        let session = try daemon.apus("volume", "end-session", "7")
        #expect(session.code == 1 && session.errors.contains("There is no session 7"))
    }

    @Test func whatIsWrongIsSaidBeforeAnythingIsMade() throws {
        let scratch = try ScratchFolder()
        let data = scratch.path + "/data"
        for (arguments, words) in [
            (["--set", "object.host=0.0.0.0"], "allow_plaintext"), (["--set", "nope=1"], "no key"),
            (["--config", "/nowhere.json"], "/nowhere.json"),
            (["--set", "object.host=192.0.2.1", "--set", "object.allow_plaintext=true", "--any-port"], "192.0.2.1"),
        ] {
            let outcome = try Program.run(Program.folder + "/apusd", ["--data", data] + arguments)
            #expect(outcome.code == 1, "\(arguments)")
            #expect(outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
            #expect(!outcome.errors.contains("OS_PASSWORD"))
        }
    }

    @Test func aCertificateThatIsNoneIsSaid() throws {
        let scratch = try ScratchFolder()
        let file = try scratch.write("bad.pem", "not a certificate")
        let outcome = try Program.run(
            Program.folder + "/apusd",
            [
                "--data", scratch.path + "/data", "--any-port", "--set", "tls.certificate=\(file)", "--set",
                "tls.key=\(file)",
            ])
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("certificate"))
    }

    @Test func withACertificateEverythingIsSpokenThroughTLS() throws {
        let scratch = try ScratchFolder()
        let certificate = scratch.path + "/cert.pem", key = scratch.path + "/key.pem"
        let made = try Program.run(
            "/usr/bin/env",
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
                + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate, "-keyout", key])
        try #require(made.code == 0, "\(made.errors)")
        let daemon = try RunningProcess(
            scratch.path + "/data", arguments: ["--set", "tls.certificate=\(certificate)", "--set", "tls.key=\(key)"])
        let outcome = try Program.run(
            "/usr/bin/env",
            ["python3", Repository.path("Tests/DaemonTests/tls_client.py"), scratch.path + "/data", certificate])
        #expect(outcome.code == 0 && outcome.output.contains("tls: passed"), "\(outcome.output)\n\(outcome.errors)")
        #expect(daemon.stop() == 0)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func eachSignalStopsItCleanly(number: Int32) throws {
        let scratch = try ScratchFolder()
        let daemon = try RunningProcess(scratch.path + "/data", arguments: ["--set", "metrics.enabled=false"])
        kill(daemon.process.processIdentifier, number)
        daemon.process.waitUntilExit()
        #expect(daemon.process.terminationReason == .exit)
        #expect(daemon.process.terminationStatus == 0)
    }

    @Test func nothingAcknowledgedIsLostToKillNine() throws {
        let outcome = try Program.run(
            "/usr/bin/env",
            ["python3", Repository.path("Tools/kill9"), "--kills", "5", "--seconds", "0.8", "--writers", "4"],
            environment: ["APUSD": Program.folder + "/apusd"])
        print(outcome.output)
        #expect(outcome.code == 0, "\(outcome.output)\n\(outcome.errors)")
        #expect(outcome.output.contains("kill9: passed"))
    }

    @Test func realClientsGetTheirBytesBack() throws {
        let outcome = try Program.run(
            "/usr/bin/env", ["python3", Repository.path("Tools/clients")],
            environment: ["APUSD": Program.folder + "/apusd"])
        // Says which clients were there, and loudly which were not.
        print(outcome.output)
        #expect(outcome.code == 0, "\(outcome.output)\n\(outcome.errors)")
    }
}
