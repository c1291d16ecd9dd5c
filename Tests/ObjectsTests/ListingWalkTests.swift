import Primitives
import Testing

@testable import Chunks
@testable import Objects

@Suite struct ListingWalkTests {
    /// A sorted list of names behind the engine's page call, counting rows handed out.
    final class Pages {
        let names: [Bytes]
        var rowsRead = 0
        var calls = 0
        init(_ names: [String]) { self.names = Set(names.map { Bytes($0) }).sorted() }

        func fetch(_ range: NameRange, _ limit: Int, reverse: Bool, pageMax: Int) -> Page<Bytes> {
            calls += 1
            let fitting = (reverse ? names.reversed() : names).filter(range.contains)
            let rows = Array(fitting.prefix(min(limit, pageMax)))
            rowsRead += rows.count
            return Page(rows: rows, mayHaveMore: fitting.count > rows.count)
        }
    }

    static func list(_ query: ListingQuery, _ names: [String], pageMax: Int = 1000) throws -> [String] {
        let pages = Pages(names)
        return try ListingWalk<Bytes>(query: query) { $0 }.collect {
            (range, limit) throws(ObjectError) -> Page<Bytes> in
            pages.fetch(range, limit, reverse: query.reverse, pageMax: pageMax)
        }.map(Self.text)
    }

    static func text(_ item: ListingWalk<Bytes>.Item) -> String {
        switch item {
        case .row(let name): name.string
        case .subdirectory(let name): "[" + name.string + "]"
        }
    }

    static func query(_ set: (inout ListingQuery) -> Void) -> ListingQuery {
        var query = ListingQuery()
        set(&query)
        return query
    }

    static let tree = ["a", "a/b", "a/c", "b", "b/", "b/c/d", "c", "photos/1", "photos/2", "photos/x/3", "z"]

    @Test func plainListingIsBytewise() throws {
        #expect(
            try Self.list(Self.query { _ in }, ["b", "B", "é", "a", "🐦", "e\u{301}"]) == [
                "B", "a", "b", "e\u{301}", "é", "🐦",
            ])
    }

    @Test func delimiterRollsUp() throws {
        #expect(
            try Self.list(Self.query { $0.delimiter = "/" }, Self.tree)
                == ["a", "[a/]", "b", "[b/]", "c", "[photos/]", "z"])
        #expect(
            try Self.list(
                Self.query {
                    $0.delimiter = "/"; $0.prefix = "photos/"
                }, Self.tree)
                == ["photos/1", "photos/2", "[photos/x/]"])
        #expect(
            try Self.list(
                Self.query {
                    $0.delimiter = "/"; $0.prefix = "pho"
                }, Self.tree) == ["[photos/]"])
    }

    @Test func markersAreExclusive() throws {
        #expect(
            try Self.list(
                Self.query {
                    $0.marker = "b"; $0.endMarker = "photos/2"
                }, Self.tree)
                == ["b/", "b/c/d", "c", "photos/1"])
        #expect(
            try Self.list(
                Self.query {
                    $0.reverse = true; $0.marker = "photos/2"; $0.endMarker = "b"
                }, Self.tree)
                == ["photos/1", "c", "b/c/d", "b/"])
    }

    @Test func rolledUpMarkerIsNotGivenAgain() throws {
        #expect(
            try Self.list(
                Self.query {
                    $0.delimiter = "/"; $0.marker = "a/"
                }, Self.tree) == ["b", "[b/]", "c", "[photos/]", "z"])
        #expect(
            try Self.list(
                Self.query {
                    $0.delimiter = "/"; $0.marker = "photos/"; $0.reverse = true
                }, Self.tree)
                == ["c", "[b/]", "b", "[a/]", "a"])
        #expect(
            try Self.list(
                Self.query {
                    $0.delimiter = "/"; $0.reverse = true
                }, Self.tree)
                == ["z", "[photos/]", "c", "[b/]", "b", "[a/]", "a"])
    }

    @Test func delimiterMayBeLong() throws {
        #expect(
            try Self.list(Self.query { $0.delimiter = "--" }, ["a--b", "a-b", "a--c", "b--", "--x"])
                == ["[--]", "[a--]", "a-b", "[b--]"])
        #expect(
            try Self.list(
                Self.query {
                    $0.prefix = "a"; $0.delimiter = "aab"
                }, ["aaab1", "aaab2", "aaaaab", "aab"]) == ["[aaaaab]", "[aaab]", "aab"])
        #expect(try Self.list(Self.query { $0.delimiter = Bytes([UInt8](repeating: 1, count: 2_000)) }, ["a"]) == ["a"])
    }

    @Test func pathListsChildrenAsObjects() throws {
        let names = ["d", "d/", "d/a", "d/b/", "d/b/x", "d/c/y", "e"]
        #expect(try Self.list(Self.query { $0.path = "d" }, names) == ["d/a", "d/b/"])
        #expect(try Self.list(Self.query { $0.path = "d/" }, names) == ["d/a", "d/b/"])
        #expect(try Self.list(Self.query { $0.path = "" }, names) == ["d", "d/", "e"])
        #expect(
            try Self.list(
                Self.query {
                    $0.path = "d"; $0.reverse = true
                }, names, pageMax: 1) == ["d/b/", "d/a"])
    }

    @Test func emptyAndZero() throws {
        #expect(try Self.list(Self.query { _ in }, []) == [])
        #expect(try Self.list(Self.query { $0.limit = 0 }, Self.tree) == [])
        #expect(try Self.list(Self.query { $0.prefix = "nothing" }, Self.tree) == [])
        #expect(
            try Self.list(
                Self.query {
                    $0.marker = "c"; $0.endMarker = "a"
                }, Self.tree) == [])
    }

    @Test func delimiterListingCostsByResultNotByObject() throws {
        let names = (0..<20).flatMap { directory in (0..<500).map { "dir\(directory)/file\($0)" } }
        for reverse in [false, true] {
            let pages = Pages(names)
            let query = Self.query {
                $0.delimiter = "/"; $0.reverse = reverse
            }
            let items = try ListingWalk<Bytes>(query: query) { $0 }.collect {
                (range, limit) throws(ObjectError) -> Page<Bytes> in
                pages.fetch(range, limit, reverse: reverse, pageMax: 1000)
            }
            #expect(items.count == 20)
            #expect(pages.rowsRead <= 20 * 16)
        }
    }

    /// Any query over any names, in any page size, says what a plain reading of the rules says.
    @Test func agreesWithTheObviousListing() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        let alphabet = ["a", "b", "/", "-", "\u{FF}"]
        func word(_ length: ClosedRange<Int>) -> String {
            (0..<Int.random(in: length, using: &random)).map { _ in alphabet.randomElement(using: &random)! }.joined()
        }
        for round in 0..<3_000 {
            let names = (0..<Int.random(in: 0...30, using: &random)).map { _ in word(1...5) }
            let query = Self.query {
                if Bool.random(using: &random) { $0.delimiter = ["/", "-", "a/", "/a"].randomElement(using: &random) }
                if Int.random(in: 0..<3, using: &random) == 0 { $0.prefix = Bytes(word(1...2)) }
                if Int.random(in: 0..<3, using: &random) == 0 { $0.marker = Bytes(word(1...3)) }
                if Int.random(in: 0..<3, using: &random) == 0 { $0.endMarker = Bytes(word(1...3)) }
                $0.reverse = Bool.random(using: &random)
                $0.limit = [1, 2, 5, 10_000].randomElement(using: &random)!
            }
            let expected = Self.obvious(query, names)
            let actual = try Self.list(query, names, pageMax: [1, 2, 1000].randomElement(using: &random)!)
            #expect(actual == expected, "seed \(seed) round \(round): \(query) of \(names.sorted())")
            if actual != expected { return }
        }
    }

    /// All names, filtered, each replaced by its subdirectory, repeats dropped.
    static func obvious(_ query: ListingQuery, _ names: [String]) -> [String] {
        let sorted = Set(names.map { Bytes($0) }).sorted()
        let low = query.reverse ? query.endMarker : query.marker
        let high = query.reverse ? query.marker : query.endMarker
        var out: [String] = []
        for name in query.reverse ? sorted.reversed() : sorted {
            if let low, name <= low { continue }
            if let high, name >= high { continue }
            if let prefix = query.prefix, !name.hasPrefix(prefix) { continue }
            var shown = name.string
            if let delimiter = query.delimiter {
                let rest = Array(name.storage[(query.prefix?.count ?? 0)...])
                let width = delimiter.count
                if rest.count >= width,
                    let at = (0...(rest.count - width)).first(where: {
                        Array(rest[$0..<($0 + width)]) == delimiter.storage
                    })
                {
                    let directory = Bytes((query.prefix?.storage ?? []) + rest[..<(at + width)])
                    if directory == low { continue }
                    shown = "[" + directory.string + "]"
                }
            }
            if out.last != shown { out.append(shown) }
        }
        return Array(out.prefix(query.limit))
    }

    @Test func queryIsReadAndBounded() throws {
        let query = try ListingQuery(items: [
            ("limit", "10000"), ("marker", "m"), ("end_marker", "e"), ("prefix", "p"), ("delimiter", "//"),
            ("reverse", "Yes"),
            ("format", "json"), ("marker", "second"),
        ])
        #expect(query.limit == 10_000 && query.marker == "m" && query.endMarker == "e" && query.prefix == "p")
        #expect(query.delimiter == "//" && query.reverse && query.path == nil)
        #expect(try ListingQuery(items: [("limit", "x"), ("marker", "")]).limit == 10_000)
        #expect(try ListingQuery(items: [("limit", "-1")]).limit == 10_000)
        for tooLarge in ["10001", "99999999999999999999999"] {
            #expect(throws: ObjectError.preconditionFailed("Maximum limit is 10000")) {
                try ListingQuery(items: [("limit", Bytes(tooLarge))])
            }
        }
        #expect(throws: ObjectError.self) { try ListingQuery(items: [("prefix", Bytes([0xFF]))]) }
    }
}
