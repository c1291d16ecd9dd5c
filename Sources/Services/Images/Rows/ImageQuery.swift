/// What a listing asks for.
package struct ImageQuery: Sendable, Equatable {
    package enum Column: String, Sendable {
        case id, name, status, owner, checksum, size
        case diskFormat = "disk_format"
        case containerFormat = "container_format"
        case minDisk = "min_disk"
        case minRAM = "min_ram"
        case hashAlgorithm = "hash_algorithm"
        case hashValue = "hash_value"
        case isProtected = "protected"
        case createdAt = "created_at"
        case updatedAt = "updated_at"
    }

    package enum Comparison: String, Sendable {
        case equal = "="
        case notEqual = "<>"
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
    }

    package enum Condition: Sendable, Equatable {
        case text(Column, [String])
        case number(Column, Comparison, Int64)
        case tag(String)
        case property(String, String)
    }

    package enum Visibility: Sendable, Equatable {
        /// Own ones, public ones, and those that were shared and accepted.
        case standard
        /// Community ones too.
        case all
        case only(ImageVisibility)
    }

    package struct Order: Sendable, Equatable {
        package var column: Column
        package var isDescending: Bool

        package init(_ column: Column, isDescending: Bool) {
            self.column = column
            self.isDescending = isDescending
        }
    }

    package var conditions: [Condition] = []
    package var visibility = Visibility.standard
    /// nil: whatever the member said.
    package var memberStatus: MemberStatus? = .accepted
    package var isHidden = false
    package var order: [Order] = []
    package var limit = Limits.pageDefault
    /// The id behind which the page begins.
    package var marker: String?

    package init() {}
}
