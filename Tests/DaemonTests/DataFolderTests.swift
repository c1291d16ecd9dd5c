import Disks
import Foundation
import Objects
import Primitives
import Testing

@testable import Daemon

@Suite("The data folder")
struct DataFolderTests {
    @Test func aNewOneIsMadePrivateAndMarked() throws {
        let scratch = try ScratchFolder()
        let folder = try DataFolder(path: scratch.path + "/data", create: true)
        #expect(folder.isNew)
        #expect(try scratch.mode("data") == 0o700)
        #expect(try scratch.text("data/format") == DataFolder.formatText)
        #expect(try scratch.mode("data/format") == 0o600)
    }

    @Test func theSecondStartFindsTheFirstOnes() throws {
        let scratch = try ScratchFolder()
        do { _ = try DataFolder(path: scratch.path + "/data", create: true) }
        #expect(try DataFolder(path: scratch.path + "/data", create: true).isNew == false)
        #expect(try DataFolder(path: scratch.path + "/data", create: false).isNew == false)
    }

    @Test func aSecondHolderIsRefusedAndTheFirstKeepsIt() throws {
        let scratch = try ScratchFolder()
        let first = try DataFolder(path: scratch.path + "/data", create: true)
        for create in [true, false] {
            let error = #expect(throws: DaemonError.self) {
                try DataFolder(path: scratch.path + "/data", create: create)
            }
            #expect(error?.problem.contains("Another apusd") == true)
        }
        withExtendedLifetime(first) {}
    }

    @Test func anotherVersionsFolderIsRefusedUnchanged() throws {
        let scratch = try ScratchFolder()
        _ = try scratch.write("format", "apus data folder 7\n")
        let error = #expect(throws: DaemonError.self) { try DataFolder(path: scratch.path, create: true) }
        #expect(error?.problem.contains("another version") == true)
        #expect(try scratch.text("format") == "apus data folder 7\n")
    }

    @Test(arguments: ["control.db", "objects", "fernet-keys"])
    func dataWithoutItsMarkIsDamage(name: String) throws {
        let scratch = try ScratchFolder()
        _ = try scratch.write(name, "")
        let error = #expect(throws: DaemonError.self) { try DataFolder(path: scratch.path, create: true) }
        #expect(error?.problem.contains("damaged") == true)
        #expect(FileManager.default.fileExists(atPath: scratch.path + "/format") == false)
    }

    @Test func aFolderWithOtherThingsIsNotTaken() throws {
        let scratch = try ScratchFolder()
        _ = try scratch.write("letter.txt", "Dear Ann")
        #expect(throws: DaemonError.self) { try DataFolder(path: scratch.path, create: true) }
        #expect(throws: DaemonError.self) { try DataFolder(path: scratch.path, create: false) }
    }

    @Test func anOpenFolderIsClosed() throws {
        let scratch = try ScratchFolder()
        try FileManager.default.createDirectory(
            atPath: scratch.path + "/data", withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
        _ = try DataFolder(path: scratch.path + "/data", create: true)
        #expect(try scratch.mode("data") == 0o700)
    }

    @Test func anAbsentParentIsSaid() throws {
        let error = #expect(throws: DaemonError.self) {
            try DataFolder(path: "/tmp/no-such-parent-\(UUID())/data", create: true)
        }
        #expect(error?.remedy?.contains("parent") == true)
    }

    @Test func theRingIsMadeOnceAndStays() throws {
        let scratch = try ScratchFolder()
        let path = scratch.path + "/data"
        do { _ = try Placement.loadOrMake(folder: try DataFolder(path: path, create: true)) }
        let ring = try Data(contentsOf: URL(fileURLWithPath: path + "/" + Placement.ringName))
        let secret = try scratch.text("data/" + Placement.secretName)
        #expect(try scratch.mode("data/" + Placement.secretName) == 0o600)
        let placement = try Placement.loadOrMake(folder: try DataFolder(path: path, create: true))
        #expect(placement.isLocal(.init(account: "AUTH_a", container: "c", object: "a//b")))
        #expect(placement.isLocal(.init(account: "AUTH_a")))
        #expect(try Data(contentsOf: URL(fileURLWithPath: path + "/" + Placement.ringName)) == ring)
        #expect(try scratch.text("data/" + Placement.secretName) == secret)
    }

    @Test(arguments: [Placement.ringName, Placement.secretName])
    func aLostRingIsNeverMadeAnewOverData(name: String) throws {
        let scratch = try ScratchFolder()
        let path = scratch.path + "/data"
        do {
            let folder = try DataFolder(path: path, create: true)
            _ = try Placement.loadOrMake(folder: folder)
            try folder.makeFolder("objects")
            try folder.makeFolder("objects/seg")
        }
        try FileManager.default.removeItem(atPath: path + "/" + name)
        let error = #expect(throws: DaemonError.self) {
            try Placement.loadOrMake(folder: try DataFolder(path: path, create: true))
        }
        #expect(error?.problem.contains("damaged") == true)
        #expect(FileManager.default.fileExists(atPath: path + "/" + name) == false)
    }

    @Test func aDamagedRingIsRefused() throws {
        let scratch = try ScratchFolder()
        let path = scratch.path + "/data"
        do { _ = try Placement.loadOrMake(folder: try DataFolder(path: path, create: true)) }
        _ = try scratch.write("data/" + Placement.ringName, "not a ring")
        #expect(throws: DaemonError.self) { try Placement.loadOrMake(folder: try DataFolder(path: path, create: true)) }
    }
}

@Suite("Files for clients")
struct ClientFilesTests {
    private let endpoints = ClientFiles.Endpoints(
        identity: "http://127.0.0.1:5000", object: "http://127.0.0.1:8080", metrics: nil, region: "It's", pid: 7)

    @Test func theyAreWrittenForTheOwnerOnly() throws {
        let scratch = try ScratchFolder()
        let files = ClientFiles(files: PrivateFiles(disk: try SystemDisk(root: scratch.path)))
        #expect(try files.password() == nil)
        try files.keep(password: Secret("p'a\"ss $HOME\\"))
        try files.write(endpoints)
        for name in [
            ClientFiles.openrcName, ClientFiles.openrcV1Name, ClientFiles.cloudsName, ClientFiles.endpointsName,
            ClientFiles.passwordName,
        ] {
            #expect(try scratch.mode(name) == 0o600)
        }
        #expect(try files.lastEndpoints() == endpoints)
        #expect(try files.password()?.matches(Secret("p'a\"ss $HOME\\")) == true)
        #expect(try scratch.text("clouds.yaml").contains("password: 'p''a\"ss $HOME\\'"))
        // Nothing of a half-written file is left.
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch.path).allSatisfy {
                !$0.hasSuffix(PrivateFiles.temporarySuffix)
            })
    }

    @Test func aShellReadsBackWhatWasMeant() throws {
        let scratch = try ScratchFolder()
        let password = "p'a\"ss $HOME `id` \\ !"
        let v3 = try scratch.write("openrc", ClientFiles.openrc(endpoints, password: password))
        let v1 = try scratch.write("openrc-v1", ClientFiles.openrcV1(endpoints, password: password))
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = [
            "-euc",
            """
            . \(v3); printf '%s|%s|%s\n' "$OS_PASSWORD" "$OS_REGION_NAME" "${ST_KEY-none}"
            . \(v1); printf '%s|%s|%s\n' "$ST_KEY" "$ST_AUTH" "${OS_PASSWORD-none}"
            """,
        ]
        let pipe = Pipe()
        shell.standardOutput = pipe
        try shell.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(output == "\(password)|It's|none\n\(password)|http://127.0.0.1:8080/auth/v1.0|none\n")
    }

    @Test func damagedEndpointsAreForgotten() throws {
        let scratch = try ScratchFolder()
        let files = ClientFiles(files: PrivateFiles(disk: try SystemDisk(root: scratch.path)))
        _ = try scratch.write(ClientFiles.endpointsName, "{")
        #expect(try files.lastEndpoints() == nil)
    }

    @Test func passwordsAreLongAndDiffer() {
        let made = (0..<50).map { _ in String(decoding: ClientFiles.randomPassword().bytes, as: UTF8.self) }
        #expect(Set(made).count == 50)
        #expect(made.allSatisfy { $0.count == 32 && $0.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber) } })
    }

    @Test func aFileThatIsTooLargeIsRefused() throws {
        let scratch = try ScratchFolder()
        _ = try scratch.write("big", String(repeating: "x", count: PrivateFiles.bytesMax + 1))
        #expect(throws: DaemonError.self) { try PrivateFiles(disk: try SystemDisk(root: scratch.path)).read("big") }
    }
}
