import Foundation
import Records
import Testing

@testable import Identity

@Suite struct KeyRepositoryTests {
    private func names(_ folder: String) throws -> [String] { try PrivateFile.names(in: folder) }

    private func open(_ folder: String) throws -> KeyRepository {
        try KeyRepository(folder: folder, randomBytes: IdentityConfiguration.systemRandomBytes)
    }

    @Test func aNewRepositoryHasAStagedAndAPrimaryKeyThatOnlyItsOwnerReads() throws {
        let folder = Fixture.temporaryFolder() + "/keys"
        let repository = try open(folder)
        #expect(try names(folder) == ["0", "1"])
        #expect(repository.current.count == 2)
        #expect(try PrivateFile.mode(folder) == 0o700)
        #expect(try PrivateFile.mode(folder + "/0") == 0o600)
        #expect(try PrivateFile.mode(folder + "/1") == 0o600)
    }

    @Test func aRotationMakesTheStagedKeyPrimaryAndKeepsThree() throws {
        let folder = Fixture.temporaryFolder() + "/keys"
        let repository = try open(folder)
        let staged = repository.current[1].signing
        #expect(try repository.rotate() == [])
        #expect(try names(folder) == ["0", "1", "2"])
        #expect(repository.current[0].signing == staged)
        #expect(try repository.rotate() == [1])
        #expect(try names(folder) == ["0", "2", "3"])
        #expect(try repository.rotate() == [2])
        #expect(repository.current.count == Limits.activeKeysMax)
        #expect(try open(folder).current.map(\.signing) == repository.current.map(\.signing))
    }

    /// Every state that a crash within `init` or `rotate` can leave.
    @Test(arguments: [["1"], ["0"], ["1", "2"], ["0", "1", "2", "3"], ["0", "1", "0.tmp"]])
    func anInterruptedFolderOpensAndRotates(_ files: [String]) throws {
        let folder = Fixture.temporaryFolder() + "/keys"
        try PrivateFile.makeFolder(folder)
        for (index, name) in files.enumerated() {
            let key = Base64.encodeURL(Array(repeating: UInt8(index), count: 32), padded: true)
            try PrivateFile.replace(folder + "/" + name, with: Array(key.utf8))
        }
        let repository = try open(folder)
        let primary = repository.current[0].signing
        _ = try repository.rotate()
        #expect(repository.current.count <= Limits.activeKeysMax)
        #expect(repository.current.contains { $0.signing == primary })
    }

    @Test func aDamagedKeyIsNamed() throws {
        let folder = Fixture.temporaryFolder() + "/keys"
        _ = try open(folder)
        try PrivateFile.replace(folder + "/1", with: Array("nonsense".utf8))
        #expect { try open(folder) } throws: { error in
            guard case .keyRepository(let text)? = error as? IdentityError else { return false }
            return text.contains(folder + "/1")
        }
    }

    @Test func tokensOutliveOneRotationAndEndWithTheirKey() throws {
        let fixture = try Fixture()
        let token = try fixture.admin().token
        _ = try fixture.service.rotateKeys()
        #expect(try fixture.service.caller(token: token) != nil)
        _ = try fixture.service.rotateKeys()
        #expect(fixture.service.cachedCaller(token: token) == nil)
        #expect(try fixture.service.caller(token: token) == nil)
    }

    @Test func maintenanceRotatesOnlyWhenTheTimeHasCome() throws {
        let fixture = try Fixture()
        // The files carry the machine's time, and the fixture's clock is its own: bring them together.
        let made = try fixture.service.keys.lastRotation()
        fixture.clock.advance(made - fixture.clock.now + 86_399)
        #expect(try fixture.service.maintain().keysRotated == false)
        fixture.clock.advance(1)
        #expect(try fixture.service.maintain().keysRotated)
    }
}
