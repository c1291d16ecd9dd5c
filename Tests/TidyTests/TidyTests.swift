import Foundation
import Testing

@Suite("Imports only go down")
struct FloorTests {
    let manifest: PackageManifest
    init() throws { manifest = PackageManifest(text: try SourceTree.text("Package.swift")) }

    @Test func theTableNamesEveryTargetOfThePackageAndNoOther() {
        let declared = Set(
            manifest.targets.values.filter { !$0.isTest && $0.path?.hasPrefix("Benchmarks/") != true }.map(\.name))
        #expect(declared == Set(Floors.table.map(\.name)))
        #expect(declared.count >= 19, "Package.swift was read wrongly: only \(declared.sorted())")
    }

    @Test func everyTargetLiesInItsFloorsFolder() {
        for row in Floors.table {
            let path = manifest.targets[row.name]?.path
            #expect(path == "Sources/\(row.folder)/\(row.name)", "\(row.name) lies in \(path ?? "no folder")")
            #expect(SourceTree.exists("Sources/\(row.folder)/\(row.name)"), "\(row.name) has no folder")
        }
    }

    @Test func everyFolderUnderSourcesIsATarget() throws {
        let base = SourceTree.root.appendingPathComponent("Sources")
        for folder in try FileManager.default.contentsOfDirectory(atPath: base.path) {
            for name in try FileManager.default.contentsOfDirectory(atPath: base.appendingPathComponent(folder).path) {
                #expect(Floors.byName[name]?.folder == folder, "Sources/\(folder)/\(name) is no target of that floor")
            }
        }
    }

    @Test func aTargetDependsOnLowerFloorsOnly() {
        for row in Floors.table {
            for name in manifest.targets[row.name]?.dependencies ?? [] {
                guard let other = Floors.byName[name] else { continue }
                #expect(other.floor < row.floor || row.neighbours.contains(name), "\(row.name) depends on \(name)")
            }
        }
    }

    @Test func aFileImportsOnlyWhatItsTargetDeclares() throws {
        var checked = 0
        for row in Floors.table {
            let declared = manifest.targets[row.name]?.dependencies ?? []
            for file in try SourceTree.files(under: "Sources/\(row.folder)/\(row.name)", extensions: ["swift"]) {
                for module in Self.imports(file) {
                    checked += 1
                    if Floors.toolchain.contains(module) { continue }
                    if Floors.foundation.contains(module) {
                        #expect(row.floor >= Floors.foundationFloorMin, "\(file.path) imports \(module)")
                        continue
                    }
                    #expect(
                        declared.contains(module), "\(file.path) imports \(module), which \(row.name) does not declare")
                }
            }
        }
        #expect(checked > 50, "only \(checked) imports were seen")
    }

    @Test func testsImportOnlyWhatTheyDeclare() throws {
        for target in manifest.targets.values where target.isTest {
            for file in try SourceTree.files(under: "Tests/\(target.name)", extensions: ["swift"]) {
                for module in Self.imports(file) {
                    let known = Floors.toolchain.contains(module) || Floors.foundation.contains(module)
                    #expect(known || target.dependencies.contains(module), "\(file.path) imports \(module)")
                }
            }
        }
    }

    @Test func theReaderOfImportsSeesEveryForm() {
        let text =
            "import A\nprivate import B\npackage import struct C.D\n@testable import E\n@preconcurrency private import F\n// import G\n    import H\nlet x = \"import I\"\n"
        #expect(Self.imports(SourceTree.File(path: "x.swift", text: text)) == ["A", "B", "C", "E", "F", "H"])
    }

    static func imports(_ file: SourceTree.File) -> [String] {
        file.lines.compactMap { line in
            // Swift's regular expressions are slow in debug builds: they see only lines that may match.
            guard line.contains("import ") else { return nil }
            return line.firstMatch(
                of:
                    /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:private|fileprivate|internal|package|public)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
            ).map { String($0.output.1) }
        }
    }
}

@Suite("House rules")
struct HouseRuleTests {
    @Test func fileNamesSayWhatIsInThem() throws {
        let banned = ["utils", "util", "common", "helpers", "helper", "misc", "manager"]
        for folder in ["Sources", "Tests", "Tools"] {
            let found = FileManager.default.enumerator(atPath: SourceTree.root.appendingPathComponent(folder).path)
            for case let path as String in found ?? .init() {
                let words = Self.words((path as NSString).lastPathComponent)
                #expect(words.isDisjoint(with: banned), "\(folder)/\(path)")
            }
        }
        #expect(Self.words("VolumeManager+State.swift") == ["volume", "manager", "state", "swift"])
    }

    @Test func codeTrapsNowhereOnPurposeWithoutSayingSo() throws {
        for (file, number, line) in try Self.lines(under: "Sources", with: ["try!", "as!", "fatalError("]) {
            Issue.record("\(file.path):\(number): \(line)")
        }
    }

    @Test func nothingIsPublic() throws {
        let declaration =
            /(?:^|\s|\()(?:public|open)\s+(?:import|func|var|let|class|struct|enum|actor|protocol|init|static|typealias|extension|final)/
        for (file, number, line) in try Self.lines(under: "Sources", with: ["public ", "open "]) {
            if line.contains(declaration) { Issue.record("\(file.path):\(number): \(line)") }
        }
        #expect("    public static let a = 1".contains(declaration))
        #expect(!"let x = try disk.open (a)".contains(declaration))
    }

    @Test func whatTheCompilerCantCheckIsArgued() throws {
        let words = ["@unchecked Sendable", "nonisolated(unsafe)", "Task {", "Task.detached", "DispatchQueue"]
        for (file, number, line) in try Self.lines(under: "Sources", with: words) {
            // A child of a task group is structured: nothing to argue.
            let code = line.replacing("addTask {", with: "").replacing("SCSITask {", with: "")
                .replacing("ImageTask {", with: "")
            guard words.contains(where: { code.contains($0) }) else { continue }
            // The argument stands within three lines above, or three below (the first lines of a type's body).
            let lines = file.lines
            let near = lines[max(0, number - 4)..<min(lines.count, number + 3)]
            if !near.contains(where: { $0.contains("SAFETY:") }) {
                Issue.record("\(file.path):\(number) has no SAFETY line: \(code)")
            }
        }
    }

    @Test func codeNamesOfOpenStackAreNoIdentifiers() throws {
        let names = ["Keystone", "Cinder", "Glance", "SwiftService", "Nova"]
        for (file, number, line) in try Self.lines(under: "Sources", with: names) {
            // Within quotes they are what a protocol wants to read.
            let code = line.replacing(/"(?:[^"\\]|\\.)*"/, with: "")
            if names.contains(where: { code.contains($0) }) { Issue.record("\(file.path):\(number): \(line)") }
        }
    }

    @Test func noTestSleeps() throws {
        let sleep = /\b(?:Task\.sleep|usleep|nanosleep|Thread\.sleep)\b|\bsleep\(/
        for (file, number, line) in try Self.lines(under: "Tests", with: ["sleep"])
        where !file.path.hasPrefix("Tests/TidyTests/") {
            if line.contains(sleep) { Issue.record("\(file.path):\(number): \(line)") }
        }
    }

    /// The lines of code that have one of the words. Files without any are passed over whole: debug builds search slowly.
    private static func lines(under folder: String, with words: [String]) throws -> [(SourceTree.File, Int, String)] {
        let files = try SourceTree.files(under: folder, extensions: ["swift"])
        #expect(files.count > 50, "only \(files.count) files were seen under \(folder)")
        return files.filter { file in words.contains { file.text.contains($0) } }.flatMap { file in
            file.codeLines.filter { line in words.contains { line.text.contains($0) } }.map {
                (file, $0.number, $0.text)
            }
        }
    }

    private static func words(_ name: String) -> Set<String> {
        Set(name.matches(of: /[A-Z]?[a-z]+|[A-Z]+(?![a-z])/).map { $0.output.lowercased() })
    }
}
