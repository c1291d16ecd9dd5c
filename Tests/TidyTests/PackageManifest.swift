import Foundation

/// What Package.swift says of a target, read from its text: SwiftPM itself can't be asked from inside a test that it runs.
struct PackageManifest {
    struct Target {
        let name: String
        let isTest: Bool
        let path: String?
        /// Names of targets and of products.
        let dependencies: Set<String>
    }

    let targets: [String: Target]

    init(text: String) {
        // `let nio: [Target.Dependency] = [ .product(name: "X", ...) ]` and the like.
        var groups: [String: Set<String>] = [:]
        for match in text.matches(of: /let (\w+): \[?Target\.Dependency\]? = ((?:\[[^\]]*\])|(?:\.product\([^)]*\)))/) {
            groups[String(match.output.1)] = Set(
                String(match.output.2).matches(of: /name: "([^"]+)"/).map { String($0.output.1) })
        }
        var targets: [String: Target] = [:]
        for match in text.matches(of: /\.(systemLibrary|target|testTarget|executableTarget)\(/) {
            let body = Self.balanced(text[match.range.upperBound...])
            guard let name = body.firstMatch(of: /name: "([^"]+)"/)?.output.1 else { continue }
            var dependencies: Set<String> = []
            if let start = body.range(of: "dependencies: [") {
                let rest = body[start.upperBound...]
                let list = Self.balanced(rest, open: "[", close: "]")
                // What is added behind the list: `] + nio`.
                let tail = rest[list.endIndex...].dropFirst().prefix(while: { $0 != "," && $0 != "\n" })
                for item in (list + " " + tail).matches(of: /"([^"]+)"|\b([a-z]\w*)\b/) {
                    if let quoted = item.output.1 {
                        if quoted != "swift-nio" { dependencies.insert(String(quoted)) }
                    } else if let group = item.output.2, let members = groups[String(group)] {
                        dependencies.formUnion(members)
                    }
                }
            }
            targets[String(name)] = Target(
                name: String(name), isTest: match.output.1 == "testTarget",
                path: body.firstMatch(of: /path: "([^"]+)"/).map { String($0.output.1) }, dependencies: dependencies)
        }
        self.targets = targets
    }

    /// The text up to the parenthesis that closes what was opened before it.
    private static func balanced(_ text: Substring, open: Character = "(", close: Character = ")") -> Substring {
        var depth = 1
        var inText = false
        for index in text.indices {
            let character = text[index]
            if character == "\"" { inText.toggle() }
            if inText { continue }
            if character == open { depth += 1 }
            if character == close { depth -= 1 }
            if depth == 0 { return text[..<index] }
        }
        return text
    }
}
