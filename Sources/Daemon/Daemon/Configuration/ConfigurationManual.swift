/// The table of keys as text: `Config/README.md` holds `table` and `Config/apusd.sample.json` is `sample`; a test
/// fails when one of them drifts.
package enum ConfigurationManual {
    /// Markdown.
    package static var table: String {
        var lines = ["| Key | Default | Environment | What it does |", "|---|---|---|---|"]
        for key in ConfigurationKey.all {
            lines.append(
                "| `\(key.name)` | `\(json(key.defaultValue))` | `\(key.environmentName)` | \(key.summary)\(range(key.defaultValue)) |"
            )
        }
        return lines.joined(separator: "\n")
    }

    /// JSON, in the table's order.
    package static var sample: String {
        var groups: [(name: String, keys: [(name: String, value: String)])] = []
        for key in ConfigurationKey.all {
            let parts = key.name.split(separator: ".")
            let group = parts.count == 2 ? String(parts[0]) : ""
            let entry = (name: String(parts[parts.count - 1]), value: json(key.defaultValue))
            if let index = groups.firstIndex(where: { $0.name == group && !group.isEmpty }) {
                groups[index].keys.append(entry)
            } else {
                groups.append((name: group, keys: [entry]))
            }
        }
        let members = groups.map { group in
            if group.name.isEmpty { return group.keys.map { "  \"\($0.name)\": \($0.value)" }.joined(separator: ",\n") }
            let inner = group.keys.map { "    \"\($0.name)\": \($0.value)" }.joined(separator: ",\n")
            return "  \"\(group.name)\": {\n\(inner)\n  }"
        }
        return "{\n" + members.joined(separator: ",\n") + "\n}"
    }

    private static func json(_ value: ConfigurationKey.Value) -> String {
        switch value {
        case .text(let text): "\"\(text)\""
        case .number(let number, _): String(number)
        case .flag(let flag): String(flag)
        }
    }

    private static func range(_ value: ConfigurationKey.Value) -> String {
        guard case .number(_, let range) = value else { return "" }
        return " (\(range.lowerBound) to \(range.upperBound))"
    }
}
