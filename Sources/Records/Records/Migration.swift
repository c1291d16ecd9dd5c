package import GRDB

/// One named step of the schema. Names are `{service}-{number}-{what}`; once shipped, a migration is never edited,
/// renamed or moved: what comes later is a new one at the end of its service's list.
package struct Migration: Sendable {
    package let name: String
    /// Runs in a transaction of its own.
    package let apply: @Sendable (Database) throws -> Void

    package init(_ name: String, apply: @escaping @Sendable (Database) throws -> Void) {
        self.name = name
        self.apply = apply
    }
}
