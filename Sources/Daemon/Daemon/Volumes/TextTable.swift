/// Columns side by side, as wide as their longest word.
enum TextTable {
    static func lines(_ title: [String], _ rows: [[String]]) -> [String] {
        let all = [title] + rows.map { $0.map(plain) }
        let widths = title.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, word) in row.enumerated() {
                line += word
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - word.count + 2) }
            }
            return line
        }
    }

    /// Tenants choose names, and a terminal does what control characters say.
    private static func plain(_ word: String) -> String {
        var out = ""
        for scalar in word.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: out += "\u{FFFD}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
