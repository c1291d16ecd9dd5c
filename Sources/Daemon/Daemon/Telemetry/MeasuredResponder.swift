import HTTPFace
import Hummingbird

/// Counts and times the requests of a Hummingbird face, as the object face does its own.
struct MeasuredResponder<Inner: HTTPResponder>: HTTPResponder {
    typealias Context = Inner.Context

    private let inner: Inner
    /// By the status's first digit.
    private let requests: [Counter]
    private let duration: Histogram

    init(_ inner: Inner, name: String, metrics: MetricsRegistry) {
        self.inner = inner
        requests = (0..<6).map { hundred in
            // There is no status 0xx; its slot keeps the arithmetic plain.
            hundred == 0
                ? Counter()
                : metrics.counter(
                    "\(name)_requests_total", help: "Requests answered.", labels: [("status", "\(hundred)xx")])
        }
        duration = metrics.histogram(
            "\(name)_request_duration_seconds", help: "From a request's head to the head of its response.",
            bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10], unit: 1e9)
    }

    // As in the framework, so that a context that is not Sendable may be passed on.
    @concurrent
    func respond(to request: Request, context: Context) async throws -> Response {
        let began = ContinuousClock().now
        do {
            let response = try await inner.respond(to: request, context: context)
            count(response.status.code, since: began)
            return response
        } catch {
            count(500, since: began)
            throw error
        }
    }

    private func count(_ status: Int, since began: ContinuousClock.Instant) {
        requests[min(5, max(0, status / 100))].add()
        duration.observe(UInt64(max(0, (ContinuousClock().now - began) / .nanoseconds(1))))
    }
}
