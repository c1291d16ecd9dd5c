package import Chunks
package import Primitives

/// Listings with prefix, delimiter, path and markers, over the engine's pages of plain names (object-api.md 5.1).
///
/// A name that rolls up into a subdirectory is stepped over by asking for the first name behind the whole
/// subdirectory, so the cost is per result, not per object below it.
package struct ListingWalk<Row: Sendable> {
    package enum Item {
        case row(Row)
        case subdirectory(Bytes)
    }

    let query: ListingQuery
    let name: (Row) -> Bytes

    package init(query: ListingQuery, name: @escaping (Row) -> Bytes) {
        var query = query
        if let path = query.path {
            // Children of one pseudo-directory: a prefix with its slash, one level deep.
            var bytes = path.storage
            while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
            query.prefix = bytes.isEmpty ? nil : Bytes(bytes + [UInt8(ascii: "/")])
            query.delimiter = "/"
        }
        self.query = query
        self.name = name
    }

    /// Rows of the first page that a delimiter listing asks for, and of the page after a subdirectory filled one.
    private static var pageRowsMin: Int { 16 }

    /// - Parameter fetch: a page of at most `limit` rows of the range, in the query's direction.
    package func collect(
        _ fetch: (_ range: NameRange, _ limit: Int) throws(ObjectError) -> Page<Row>
    ) throws(ObjectError) -> [Item] {
        var out: [Item] = []
        var range = NameRange(
            from: query.prefix,
            after: query.reverse ? query.endMarker : query.marker,
            before: Self.lower(query.reverse ? query.marker : query.endMarker, query.prefix.flatMap(Self.behind)))
        let lowest = range.after
        var pageRows = query.delimiter == nil ? query.limit : Self.pageRowsMin
        while out.count < query.limit {
            let page = try fetch(range, min(pageRows, query.limit - out.count + (query.delimiter == nil ? 0 : 1)))
            guard let last = page.rows.last else { break }
            /// The subdirectory that the last rows rolled up into.
            var within: Bytes?
            for row in page.rows {
                let rowName = name(row)
                if let within, rowName.hasPrefix(within), !isMarker(rowName, of: within) { continue }
                within = nil
                if query.path != nil {
                    if rowName == query.prefix { continue }
                    if let directory = directory(of: rowName), directory.count < rowName.count {
                        within = directory
                        continue
                    }
                    out.append(.row(row))
                } else if let directory = directory(of: rowName) {
                    within = directory
                    if directory != lowest { out.append(.subdirectory(directory)) }
                } else {
                    out.append(.row(row))
                }
                if out.count == query.limit { return out }
            }
            guard page.mayHaveMore else { break }
            if let within {
                pageRows = Self.pageRowsMin
                if query.reverse {
                    // Objects that are the pseudo-directory's own marker are still to come in a path listing.
                    range.before = query.path == nil ? within : Bytes(within.storage + [0])
                } else {
                    guard let behind = Self.behind(within) else { break }
                    range.from = behind
                    range.after = nil
                }
            } else {
                pageRows = min(pageRows &* 4, ObjectLimits.listingLimit)
                if query.reverse { range.before = name(last) } else { range.after = name(last) }
            }
        }
        return out
    }

    /// In a path listing an object named as the pseudo-directory itself is a child, whatever lies below it.
    private func isMarker(_ name: Bytes, of directory: Bytes) -> Bool { query.path != nil && name == directory }

    /// Prefix through delimiter, when the name has the delimiter behind the prefix.
    private func directory(of name: Bytes) -> Bytes? {
        guard let delimiter = query.delimiter else { return nil }
        let start = query.prefix?.count ?? 0
        let width = delimiter.count
        guard name.count >= start + width else { return nil }
        if width == 1 {
            let byte = delimiter.storage[0]
            guard let at = name.storage[start...].firstIndex(of: byte) else { return nil }
            return Bytes(name.storage[...at])
        }
        return name.firstRange(of: delimiter, from: start).map { Bytes(name.storage[..<$0.upperBound]) }
    }

    /// The least name that sorts behind everything with this prefix; nil when there is none.
    static func behind(_ prefix: Bytes) -> Bytes? {
        var bytes = prefix.storage
        while let last = bytes.last {
            if last < 0xFF {
                bytes[bytes.count - 1] = last + 1
                return Bytes(bytes)
            }
            bytes.removeLast()
        }
        return nil
    }

    private static func lower(_ a: Bytes?, _ b: Bytes?) -> Bytes? {
        guard let a, let b else { return a ?? b }
        return min(a, b)
    }
}
