import Chunks

/// Why a step of a request ended before its result.
enum Stop: Error, Sendable {
    case refused(ObjectError)
    /// The answer is not in memory, and the caller may not wait: do it again on a work thread.
    case mustWait
}

/// Whether a step may wait for the disk.
enum Patience: Sendable { case memoryOnly, mayBlock }

extension ObjectError {
    /// The engine's refusals as the API shows them; no path and no number of ours reaches a client.
    init(_ error: ChunkError) {
        switch error {
        case .readOnly: self = .unavailable("The store takes no writes at the moment")
        case .noSpace: self = .insufficientStorage
        case .overloaded: self = .unavailable("Too much is waiting to be written")
        case .corrupt, .corruptIndex: self = .corrupt("Stored data does not match its checksum")
        case .disk: self = .unavailable("The disk did not answer as it should")
        case .index: self = .unavailable("The index did not answer as it should")
        case .cancelled, .locked, .unusable: self = .unavailable("The store does not take this request")
        }
    }

    init(_ stop: Stop) {
        switch stop {
        case .refused(let error): self = error
        case .mustWait: self = .unavailable("The answer would have to wait")
        }
    }
}

extension ObjectService {
    /// Runs an engine call and gives its errors the API's names.
    func engine<Value>(_ body: () throws(ChunkError) -> Value) throws(Stop) -> Value {
        do { return try body() } catch { throw .refused(ObjectError(error)) }
    }

    /// Runs a step that may block.
    func blocking<Value>(_ body: () throws(Stop) -> Value) throws(ObjectError) -> Value {
        do { return try body() } catch { throw ObjectError(error) }
    }

    /// Runs a rule that knows no waiting.
    func rule<Value>(_ body: () throws(ObjectError) -> Value) throws(Stop) -> Value {
        do { return try body() } catch { throw .refused(error) }
    }

    func attributes(_ bytes: [UInt8]) throws(Stop) -> AttributeList {
        guard let list = AttributeList(decoding: bytes) else {
            throw .refused(.corrupt("Stored metadata cannot be decoded"))
        }
        return list
    }
}
