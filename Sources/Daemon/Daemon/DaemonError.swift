/// Why the daemon, or an operator's command, would not go on. The text is for a person at a terminal: what is
/// wrong, and what to do about it. It never carries a secret.
package struct DaemonError: Error, Sendable, Hashable, CustomStringConvertible {
    package let problem: String
    package let remedy: String?

    package init(_ problem: String, remedy: String? = nil) {
        self.problem = problem
        self.remedy = remedy
    }

    package var description: String {
        if let remedy { "\(problem)\n  \(remedy)" } else { problem }
    }
}
