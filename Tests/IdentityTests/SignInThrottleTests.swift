import Identity
import Testing

@Suite struct SignInThrottleTests {
    private let burst = Limits.failureBurst
    private let step = Limits.failureSeconds

    @Test func anAddressMayFailOftenAtOnceAndThenSeldom() {
        let throttle = SignInThrottle()
        for _ in 0..<burst {
            #expect(throttle.secondsToWait("a", now: 100) == nil)
            throttle.failed("a", now: 100)
        }
        #expect(throttle.secondsToWait("a", now: 100) == step)
        #expect(throttle.secondsToWait("a", now: 100 + step - 1) == 1)
        #expect(throttle.secondsToWait("a", now: 100 + step) == nil)
        throttle.failed("a", now: 100 + step)
        #expect(throttle.secondsToWait("a", now: 100 + step) != nil)
        // Nobody else waits for it, and it is forgotten in time.
        #expect(throttle.secondsToWait("b", now: 100 + step) == nil)
        #expect(throttle.secondsToWait("a", now: 100 + step * (burst + 2)) == nil)
    }

    @Test func theWaitIsBoundedWhateverTheClockDoes() {
        let throttle = SignInThrottle()
        for _ in 0..<10_000 { throttle.failed("a", now: 1_000) }
        #expect(throttle.secondsToWait("a", now: 1_000) == Limits.failureWaitMax)
        #expect(throttle.secondsToWait("a", now: 5) == Limits.failureWaitMax)
        throttle.failed("a", now: 5)
        #expect(throttle.secondsToWait("a", now: 5 + Limits.failureWaitMax + burst * step) == nil)
    }

    @Test func noMoreAddressesAreRememberedThanMayBe() {
        let throttle = SignInThrottle()
        for _ in 0..<burst { throttle.failed("worst", now: 0) }
        for n in 0..<Limits.failureAddressesMax + 10 { throttle.failed("\(n)", now: 0) }
        #expect(throttle.secondsToWait("worst", now: 0) != nil)
    }
}
