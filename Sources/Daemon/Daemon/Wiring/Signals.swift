private import Glibc

/// SIGTERM, SIGINT and SIGHUP, taken by one thread that waits for them: nothing runs inside a signal handler.
package enum Signals {
    /// Keeps the signals from every thread that is started from here on; call it before anything else.
    package static func block() {
        var set = watched()
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // A client that hangs up is an error of its write, not the end of the daemon.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Waits for ever on the calling thread: the first signal calls `onFirst`, the second ends the process.
    package static func wait(onFirst: @Sendable (Int32) -> Void) -> Never {
        var set = watched()
        var seen = 0
        while true {
            var number: Int32 = 0
            guard unsafe sigwait(&set, &number) == 0 else { continue }
            seen += 1
            if seen == 1 {
                onFirst(number)
            } else {
                Terminal.error("apusd: told twice to stop; ending at once (nothing acknowledged is lost)")
                _exit(128 + number)
            }
        }
    }

    private static func watched() -> sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&set, number) }
        return set
    }
}
