import Foundation
import GRDB
import Primitives
import Records
import Testing

@testable import Images

@Suite("Image tables") struct ImageSchemaTests {
    @Test("the tables are made in an empty control.db")
    func tables() async throws {
        let folder = NSTemporaryDirectory() + "apus-images-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let records = try RecordStore(path: folder + "/control.db", migrations: ImageService.migrations)
        let service = ImageService(records: records, store: MemoryImages(), web: NoWeb(), configuration: .standard())
        let count = try await service.read { db in try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM images") }
        #expect(count == 0)
        service.stop()
        try records.close()
    }
}
