import Foundation
import Primitives
import Records
import Testing

@testable import Images

@Suite("Metadata definitions") struct MetadefsTests {
    private static let admin = ImageAsker(
        userID: "u", projectID: "p", roles: ["admin"], isService: false, requestID: "r")

    private func with(_ body: (ImageService) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "apus-definitions-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let records = try RecordStore(path: folder + "/control.db", migrations: ImageService.migrations)
        let service = ImageService(records: records, store: MemoryImages(), web: NoWeb(), configuration: .standard())
        try await body(service)
        service.stop()
        try records.close()
    }

    @Test("a namespace's documents have a bound together, and what would exceed it is not there afterwards")
    func bounds() async throws {
        try await with { service in
            _ = try await service.create(NewNamespace(NamespaceFields(name: "n")), for: Self.admin)
            let half = "\"" + String(repeating: "x", count: Limits.namespaceBytesMax / 2 - 2) + "\""
            for name in ["a", "b"] {
                try await service.addProperty(.init(name: name, schema: half), to: "n", for: Self.admin)
            }
            do throws(ImageError) {
                try await service.addProperty(.init(name: "c", schema: "{}"), to: "n", for: Self.admin)
                Issue.record("no bound")
            } catch {
                guard case .tooLarge = error else { throw error }
            }
            let names = try await service.propertyDefinitions(in: "n", for: Self.admin).map(\.name)
            #expect(names == ["a", "b"])
        }
    }

    @Test("a namespace is for a bounded number of resource types")
    func associations() async throws {
        try await with { service in
            var new = NewNamespace(NamespaceFields(name: "n"))
            new.associations = (0...Limits.associationsMax).map { .init(name: "t\($0)", prefix: nil, target: nil) }
            do throws(ImageError) {
                _ = try await service.create(new, for: Self.admin)
                Issue.record("no bound")
            } catch {
                guard case .tooLarge = error else { throw error }
            }
            new.associations.removeLast()
            let made = try await service.create(new, for: Self.admin)
            #expect(made.associations.count == Limits.associationsMax)
            #expect(made.namespace.owner == "p")
        }
    }
}
