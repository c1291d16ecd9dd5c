import Testing

@testable import Daemon

@Suite struct TextTableTests {
    @Test func columnsAreAsWideAsTheirLongestWord() {
        #expect(TextTable.lines(["ID", "NAME"], [["1", "one"], ["22", "t"]]) == ["ID  NAME", "1   one", "22  t"])
    }

    /// What a tenant called a volume does not clear the operator's screen, or look like another row.
    @Test func namesCannotControlTheTerminal() {
        let rows = [["\u{1B}[2J", "a\nb\u{9B}c\u{2028}d\u{202E}e"]]
        #expect(
            TextTable.lines(["NAME", "X"], rows) == ["NAME  X", "\u{FFFD}[2J  a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}e"])
    }
}
