import HTTPFace
import NIOCore
import NIOEmbedded
import Primitives
import Testing

@Suite struct FacePartsTests {
    @Test func percentDecodingHappensOnceAndStrayPercentsStand() {
        func decode(_ text: String) -> String {
            String(decoding: PercentDecoding.decode(Array(text.utf8)), as: UTF8.self)
        }
        #expect(decode("a%20b") == "a b")
        #expect(decode("%2525") == "%25")
        #expect(decode("a+b") == "a+b")
        #expect(decode("%") == "%")
        #expect(decode("%4") == "%4")
        #expect(decode("%zz%41%4g") == "%zzA%4g")
        #expect(decode("%e2%82%AC") == "€")
    }

    @Test func queriesDecodePlusAndKeepTheLastOfAName() {
        let query = QueryParameters(Array("a=1&b=x+y%2B&a=2&flag&&=v".utf8))
        #expect(query.text("a") == "2")
        #expect(query.text("b") == "x y+")
        #expect(query.text("flag") == "")
        #expect(query.value("c") == nil)
        #expect(!QueryParameters(Array("a=%ff".utf8)).isWellFormed)
        #expect(
            QueryParameters(Array(String(repeating: "a&", count: 1000).utf8)).items.count == QueryParameters.countMax)
    }

    @Test func utf8IsCheckedStrictly() {
        #expect(UTF8Check.isValid(Array("aé€😀".utf8)))
        for bad: [UInt8] in [
            [0x80], [0xc0, 0x80], [0xc3], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff],
            [0xf0, 0x9f, 0x98],
        ] {
            #expect(!UTF8Check.isValid(bad), "\(bad)")
        }
        var random = IDGenerator(seed: 5)
        for _ in 0..<20_000 {
            let bytes = (0..<6).map { _ in UInt8.random(in: 0x20...0xff, using: &random) }
            #expect(UTF8Check.isValid(bytes) == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes)")
        }
    }

    @Test func signaturesAndTokensDoNotReachTheLog() {
        func redact(_ text: String) -> String { Redaction.target(Array(text.utf8)) }
        #expect(
            redact("/v1/a/c/o?temp_url_sig=abc&temp_url_expires=5") == "/v1/a/c/o?temp_url_sig=***&temp_url_expires=5")
        #expect(
            redact("/b?X-Amz-Signature=s&X%2DAmz%2DCredential=c&prefix=p")
                == "/b?X-Amz-Signature=***&X%2DAmz%2DCredential=***&prefix=p")
        #expect(redact("/a\u{7f}é?x") == "/a???" + "?x")
        for name in ["Authorization", "X-Auth-Token", "x-storage-token", "X-Auth-Key", "X-Storage-Pass", "signature"] {
            #expect(Redaction.isSecret(name), "\(name)")
        }
        #expect(!Redaction.isSecret("marker"))
    }

    @Test func metricsRenderAsPrometheusText() {
        let metrics = MetricsRegistry()
        let counter = metrics.counter("x_total", help: "Things.", labels: [("kind", "a\"b")])
        let histogram = metrics.histogram("d_seconds", help: "Time.", bounds: [0.001, 0.1], unit: 1e9)
        metrics.gauge("g", help: "Now.") { 1.5 }
        counter.add(3)
        histogram.observe(1_000_000)
        histogram.observe(1_000_001)
        histogram.observe(5_000_000_000)
        #expect(
            metrics.render() == """
                # HELP x_total Things.
                # TYPE x_total counter
                x_total{kind="a\\"b"} 3
                # HELP d_seconds Time.
                # TYPE d_seconds histogram
                d_seconds_bucket{le="0.001"} 1
                d_seconds_bucket{le="0.1"} 2
                d_seconds_bucket{le="+Inf"} 3
                d_seconds_sum 5.002000001
                d_seconds_count 3
                # HELP g Now.
                # TYPE g gauge
                g 1.5

                """)
    }

    @Test func aBatchOfCompletionsRunsInOrderOnTheLoop() {
        let loop = EmbeddedEventLoop()
        let sink = LoopSink(loop)
        let order = Order()
        sink.wake([{ order.add(1) }, { order.add(2) }])
        sink.wake([{ order.add(3) }])
        #expect(order.all == [])
        loop.run()
        #expect(order.all == [1, 2, 3])
    }

    @Test func aResponseHeaderCannotBeSplit() throws {
        let bench = try Bench { exchange in
            var builder = exchange.response(200)
            builder.add("X-Meta", "a\r\nInjected: yes")
            builder.add("X-\nName", "v")
            builder.endHead(contentLength: 0)
            exchange.send(builder)
        }
        try bench.send(get)
        let head = Bench.split(try bench.received())[0].head
        #expect(!head.contains("\r\nInjected"))
        #expect(head.contains("X-Meta: a  Injected: yes\r\n"))
        #expect(head.contains("X- Name: v\r\n"))
    }
}

final class Order: @unchecked Sendable {
    // SAFETY: used on one thread, the test's.
    private(set) var all: [Int] = []
    func add(_ value: Int) { all.append(value) }
}
