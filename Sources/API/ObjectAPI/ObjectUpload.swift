import HTTPFace
import NIOCore
import Objects
import Primitives

/// A PUT's body on its way from the socket to the service, with back-pressure.
final class ObjectUpload: BodyConsumer, @unchecked Sendable {
    // SAFETY: confined to the exchange's event loop; `onReady` comes back to it through the sink.
    private let exchange: Exchange
    private let put: any ObjectPut
    private let place: UploadPlaces.Place
    private let answer: (Exchange, Result<WriteOutcome, ObjectError>) -> Void
    private var isOver = false

    init(
        exchange: Exchange, put: any ObjectPut, place: UploadPlaces.Place,
        answer: @escaping (Exchange, Result<WriteOutcome, ObjectError>) -> Void
    ) {
        self.exchange = exchange
        self.put = put
        self.place = place
        // Left before the answer goes out: whoever has it may begin the next one.
        self.answer = { exchange, result in
            place.leave()
            answer(exchange, result)
        }
    }

    func received(_ bytes: ByteBuffer) -> Bool {
        guard !isOver else { return true }
        switch bytes.withUnsafeReadableBytes({ put.append($0) }) {
        case .ready: return true
        case .pause: return false
        case .refused(let error):
            isOver = true
            answer(exchange, .failure(error))
            return true
        }
    }

    func ended() {
        guard !isOver else { return }
        isOver = true
        // The closure keeps the upload, the put and the exchange until the commit is through.
        put.finish { [self] result in answer(exchange, result) }
    }

    func failed(_ failure: BodyFailure) {
        guard !isOver else { return }
        isOver = true
        place.leave()
        put.abort()
    }
}
