import Foundation
import Primitives
import Records
import Testing

@testable import Identity

@Suite struct RecordStoreTests {
    private func folder() -> String { Fixture.temporaryFolder() }

    @Test func commitsAreDurableAndTheFilesArePrivate() throws {
        let path = folder() + "/control.db"
        let store = try RecordStore(path: path, migrations: IdentityService.migrations)
        #expect(try store.synchronousLevel() == 2)
        #expect(try PrivateFile.mode(path) == 0o600)
        #expect(try PrivateFile.mode(path + "-wal") == 0o600)
        try store.close()
        #expect(throws: RecordsError.self) { try store.synchronousLevel() }
    }

    @Test func aFileThatOthersCouldReadIsClosedToThem() throws {
        let path = folder() + "/control.db"
        try RecordStore(path: path, migrations: []).close()
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        let store = try RecordStore(path: path, migrations: [])
        #expect(try PrivateFile.mode(path) == 0o600)
        try store.close()
    }

    @Test func aDatabaseOfANewerVersionIsRefusedAndSaysWhatToDo() throws {
        let path = folder() + "/control.db"
        let later = Migration("identity-9999-later") { _ in }
        try RecordStore(path: path, migrations: IdentityService.migrations + [later]).close()
        let expected = RecordsError.newer(path: path, migrations: ["identity-9999-later"])
        #expect(throws: expected) { try RecordStore(path: path, migrations: IdentityService.migrations) }
        #expect(expected.description.contains("newer version"))
        // Refusing changed nothing: the later version still opens it.
        try RecordStore(path: path, migrations: IdentityService.migrations + [later]).close()
    }

    @Test func anotherProgramsDatabaseIsLeftAlone() throws {
        let path = folder() + "/control.db"
        let store = try RecordStore(path: path, migrations: [])
        try store.close()
        // The application id is at offset 68 of the header.
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[68] ^= 0xFF
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(throws: RecordsError.foreign(path: path)) { try RecordStore(path: path, migrations: []) }
    }

    @Test func whatIsNoDatabaseIsReportedAsDamaged() throws {
        let path = folder() + "/control.db"
        try Data(repeating: 0x41, count: 8192).write(to: URL(fileURLWithPath: path))
        #expect { try RecordStore(path: path, migrations: []) } throws: { error in
            guard case .damaged? = error as? RecordsError else { return false }
            return true
        }
    }

    @Test func aBackupIsAWholeDatabaseOfThatMoment() throws {
        let fixture = try Fixture()
        let report = try fixture.records.backUp(now: 1_795_774_051)
        #expect(report.path.hasSuffix("/control.db.backup.20261127T100731Z"))
        #expect(try PrivateFile.mode(report.path) == 0o600)
        _ = try fixture.service.createProject(named: "later", description: "")
        let copyFolder = folder()
        try FileManager.default.copyItem(atPath: report.path, toPath: copyFolder + "/control.db")
        let copy = try RecordStore(path: copyFolder + "/control.db", migrations: IdentityService.migrations)
        let restored = try Fixture.makeService(records: copy, folder: fixture.folder, clock: fixture.clock)
        defer { restored.stop() }
        #expect(try restored.projects(name: "later", domainID: nil, parentID: nil, enabled: nil).items.isEmpty)
        let password = fixture.adminPassword.withLock { $0 }
        _ = try restored.issue(
            Authentication(password: (.name("admin", .standard), Secret(password)), token: nil, scope: .unscoped))
    }

    @Test func sevenBackupsAreKept() throws {
        let fixture = try Fixture()
        #expect(try fixture.records.lastBackup() == nil)
        for day in 0..<7 { #expect(try fixture.records.backUp(now: Int64(day) * 86_400).removed.isEmpty) }
        let removed = try fixture.records.backUp(now: 7 * 86_400).removed
        #expect(removed == [fixture.folder + "/control.db.backup.19700101T000000Z"])
        let names = try PrivateFile.names(in: fixture.folder).filter { $0.hasPrefix("control.db.backup") }
        #expect(names.count == RecordStore.backupsKept)
        #expect(try fixture.records.lastBackup() != nil)
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00"), (951_782_400, "2000-02-29T00:00:00"), (-1, "1969-12-31T23:59:59"),
        (1_709_251_199, "2024-02-29T23:59:59"), (4_107_542_400, "2100-03-01T00:00:00"),
        (Int64.max, "9999-12-31T23:59:59"), (Int64.min, "0001-01-01T00:00:00"),
    ])
    func datesAreTheCalendars(_ seconds: Int64, _ text: String) {
        #expect(CivilDate(unixSeconds: seconds).text(dateSeparator: "-", timeSeparator: ":") == text)
    }
}
