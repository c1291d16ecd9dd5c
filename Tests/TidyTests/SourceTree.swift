import Foundation

/// The repository that this test was compiled from.
enum SourceTree {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    struct File {
        /// Relative to the root.
        let path: String
        let text: String
        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var name: String { String(path.split(separator: "/").last ?? "") }

        /// Lines without what follows `//`, roughly: enough for words that occur in code.
        var codeLines: [(number: Int, text: String)] {
            lines.enumerated().map { number, line in
                var code = String(line)
                if let comment = code.range(of: "//") { code = String(code[..<comment.lowerBound]) }
                return (number + 1, code)
            }
        }
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    /// Every file under `folder` with one of the extensions, sorted.
    static func files(under folder: String, extensions: Set<String>) throws -> [File] {
        let base = root.appendingPathComponent(folder)
        guard let names = FileManager.default.enumerator(atPath: base.path) else { return [] }
        var found: [File] = []
        for case let name as String in names where extensions.contains((name as NSString).pathExtension) {
            found.append(File(path: folder + "/" + name, text: try text(folder + "/" + name)))
        }
        return found.sorted { $0.path < $1.path }
    }
}
