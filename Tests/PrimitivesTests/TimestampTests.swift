import Primitives
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "0000000000.00000"), (1, "0000000000.00001"), (99_999, "0000000000.99999"),
            (100_000, "0000000001.00000"), (140_137_984_214_643, "1401379842.14643"),
            (140_137_984_200_043, "1401379842.00043"), (1_000_000_000_000_001, "10000000000.00001"),
        ] as [(Int64, String)])
    func theTextHasTenDigitsAndFive(_ ticks: Int64, _ text: String) {
        #expect(Timestamp(ticks: ticks).description == text)
    }

    @Test func secondsAreRoundedDownAndUp() {
        #expect(Timestamp(ticks: 200_000).wholeSeconds == 2)
        #expect(Timestamp(ticks: 200_000).secondsRoundedUp == 2)
        #expect(Timestamp(ticks: 200_001).wholeSeconds == 2)
        #expect(Timestamp(ticks: 200_001).secondsRoundedUp == 3)
    }

    @Test func theClockIncreasesStrictlyUnderContention() async {
        // The wall clock stands still, so that every one of them would be the same moment.
        let clock = TimestampClock(wallTicks: { 1_000 })
        let lists = await withTaskGroup(of: [Timestamp].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var list: [Timestamp] = []
                    for _ in 0..<10_000 { list.append(clock.next()) }
                    return list
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for list in lists { #expect(zip(list, list.dropFirst()).allSatisfy { $0 < $1 }) }
        #expect(Set(lists.joined()).count == 40_000)
        #expect(lists.joined().max() == Timestamp(ticks: 1_000 + 39_999))
    }

    @Test func theClockFollowsTheWallButNeverBack() {
        let wall = PosixGuarded<Int64>(100)
        let clock = TimestampClock(wallTicks: { wall.value })
        #expect(clock.next().ticks == 100)
        wall.value = 500
        #expect(clock.next().ticks == 500)
        wall.value = 200
        #expect(clock.next().ticks == 501)
        clock.advance(past: Timestamp(ticks: 900))
        #expect(clock.next().ticks == 901)
        clock.advance(past: Timestamp(ticks: 300))
        #expect(clock.next().ticks == 902)
    }
}
