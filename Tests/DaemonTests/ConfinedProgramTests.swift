import Foundation
import Images
import Logging
import Testing

@testable import Daemon

/// Programs of the system, run in a folder as `qemu-img` is.
@Suite("Confined programs") struct ConfinedProgramTests {
    private static let shell = realpathOf("/bin/bash") ?? ""

    private static func realpathOf(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private struct Place {
        let scratch: ScratchFolder
        let folder: ConversionFolder

        init() throws {
            scratch = try ScratchFolder()
            // What is in it is open to everybody, but for what confines.
            chmod(scratch.path, 0o755)
            folder = ConversionFolder(path: scratch.path + "/job")
            try folder.make()
            for file in [folder.image, folder.disk] {
                try #require(FileManager.default.createFile(atPath: file, contents: Data("an image\n".utf8)))
                chmod(file, 0o600)
            }
            try folder.giveAway()
        }

        func run(
            _ script: String, without: ConfinedProgram.Holds = [],
            bounds: ConfinedProgram.Bounds = .init(fileBytes: 1 << 20, cpuSeconds: 20, seconds: 60),
            look: (String) throws -> Void = { _ in }
        ) throws -> ConfinedProgram.Holds {
            try ConfinedProgram(path: shell, without: without).run(
                ["-c", script], in: folder.work, root: folder.root, bounds, look: look)
        }

        /// Whether the script ended with 0.
        func succeeds(_ script: String, without: ConfinedProgram.Holds = []) throws -> Bool {
            do {
                _ = try run(script, without: without)
                return true
            } catch ConfinedProgram.Failure.code(let code, let said) {
                try #require(code != 127, "it did not start: \(said)")
                return false
            }
        }
    }

    private static let fileLayers: ConfinedProgram.Holds = [.mounts, .landlock]

    @Test("it reads and writes its folder's files, and makes no others")
    func ownFolder() throws {
        let place = try Place()
        #expect(try place.succeeds("read line < image; [ \"$line\" = 'an image' ] && echo done > disk"))
        #expect(try String(contentsOfFile: place.folder.disk, encoding: .utf8) == "done\n")
        #expect(try !place.succeeds("echo more > another"))
    }

    @Test("a file elsewhere is out of reach by its mounts alone, and by Landlock alone")
    func otherFiles() throws {
        let place = try Place()
        let secret = try place.scratch.write("secret", "secret\n")
        chmod(secret, 0o644)
        let script = "read line < \(secret)"
        // Without both it is read: the test can fail.
        #expect(try place.succeeds(script, without: Self.fileLayers))
        let held = try place.run("true")
        for layer in [ConfinedProgram.Holds.mounts, .landlock] {
            guard held.contains(layer) else {
                print("NOT TESTED: this system does not permit \(layer)")
                continue
            }
            #expect(try !place.succeeds(script, without: Self.fileLayers.subtracting(layer)), "\(layer)")
        }
        #expect(try !place.succeeds("read line < ../../secret"))
        #expect(try !place.succeeds("cd \(place.scratch.path)"))
    }

    @Test("the network is out of reach by its namespace alone, and by the filter alone")
    func network() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 5) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        try #require(bound)
        let place = try Place()
        let script = "exec 3<>/dev/tcp/127.0.0.1/\(UInt16(bigEndian: address.sin_port))"
        let layers: ConfinedProgram.Holds = [.namespaces, .seccomp]
        #expect(try place.succeeds(script, without: layers))
        let held = try place.run("true")
        for layer in [ConfinedProgram.Holds.namespaces, .seccomp] {
            guard held.contains(layer) else {
                print("NOT TESTED: this system does not permit \(layer)")
                continue
            }
            #expect(try !place.succeeds(script, without: layers.subtracting(layer)), "\(layer)")
        }
    }

    @Test("it has no environment, no rights, no descriptors but three, and makes no processes")
    func nothingElse() throws {
        let place = try Place()
        #expect(try place.succeeds("[ -z \"$HOME$USER$LOGNAME\" ]"))
        if geteuid() == 0 { #expect(try place.succeeds("[ $UID = 65534 ] && [ $EUID = 65534 ]")) }
        #expect(try place.succeeds("for n in 3 4 5 6 7 8 9; do if { true >&$n; } 2>/dev/null; then exit 1; fi; done"))
        #expect(try !place.succeeds("(true) && (true)"))
        #expect(try place.succeeds("(true) && (true)", without: [.seccomp]))
    }

    @Test("what exceeds its limits is ended")
    func limits() throws {
        let place = try Place()
        func ends(_ script: String, _ bounds: ConfinedProgram.Bounds) -> String {
            do {
                _ = try place.run(script, bounds: bounds)
                return "well"
            } catch ConfinedProgram.Failure.signal(let number, _) {
                return "signal \(number)"
            } catch ConfinedProgram.Failure.time {
                return "time"
            } catch {
                return "\(error)"
            }
        }
        let plenty = ConfinedProgram.Bounds(fileBytes: 1 << 20, cpuSeconds: 20, seconds: 60)
        var bounds = plenty
        bounds.fileBytes = 100_000
        #expect(ends("printf '%1000000s' x > disk", bounds) == "signal \(SIGXFSZ)")
        #expect(try FileManager.default.attributesOfItem(atPath: place.folder.disk)[.size] as? Int ?? 0 <= 100_000)
        bounds = plenty
        bounds.cpuSeconds = 1
        #expect(ends("while :; do :; done", bounds) == "signal \(SIGKILL)")
        bounds = plenty
        bounds.seconds = 0
        #expect(ends("while :; do :; done", bounds) == "time")
        bounds = plenty
        bounds.memoryBytes = 64 << 20
        #expect(ends("x=$(printf '%100000000s' x)", bounds) != "well")
    }

    @Test("whoever looks can stop it, and what it says is passed on, bounded")
    func looked() throws {
        struct Enough: Error {}
        let place = try Place()
        #expect(throws: Enough.self) {
            _ = try place.run("echo here; while :; do :; done") { shown in
                if shown == "here\n" { throw Enough() }
            }
        }
        do {
            _ = try place.run("for n in {1..5000}; do echo words >&2; done; exit 3")
            Issue.record("it ended well")
        } catch ConfinedProgram.Failure.code(let code, let said) {
            #expect(code == 3)
            #expect(said.hasPrefix("words words") && said.utf8.count <= 4_096)
        }
    }

    @Test("a program that can't be started is said to be one")
    func notStarted() throws {
        let place = try Place()
        do {
            _ = try ConfinedProgram(path: "/nonexistent/program").run(
                [], in: place.folder.work, root: place.folder.root, .init(fileBytes: 1, cpuSeconds: 1, seconds: 1)
            ) { _ in }
            Issue.record("it ran")
        } catch ConfinedProgram.Failure.start(let code) {
            #expect(code == ENOENT)
        }
    }
}
