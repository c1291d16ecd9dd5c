import BlockDevices
import Primitives

/// A device for those who may only read it.
final class ReadOnlyDevice: BlockDevice {
    private let device: any BlockDevice

    init(_ device: any BlockDevice) { self.device = device }

    var geometry: BlockGeometry {
        var geometry = device.geometry
        geometry.isReadOnly = true
        return geometry
    }

    func readCached(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) -> Bool {
        try device.readCached(at: offset, into: buffer)
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) {
        try device.read(at: offset, into: buffer)
    }

    func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) { refuse(sink, completion) }

    func writeZeroes(
        _ range: BlockRange, deallocates: Bool, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) { refuse(sink, completion) }

    func unmap(_ ranges: [BlockRange], sink: any CompletionSink, completion: @escaping BlockCompletion) {
        refuse(sink, completion)
    }

    func update(
        _ range: BlockRange, durability: Durability, sink: any CompletionSink,
        change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool, completion: @escaping BlockCompletion
    ) { refuse(sink, completion) }

    func flush(sink: any CompletionSink, completion: @escaping BlockCompletion) {
        device.flush(sink: sink, completion: completion)
    }

    func allocation(of range: BlockRange, max: Int) throws(BlockError) -> [BlockRun] {
        try device.allocation(of: range, max: max)
    }

    /// The device has one observer, and that is the unit that may write.
    func observeResize(_ observer: @escaping @Sendable () -> Void) {}

    private func refuse(_ sink: any CompletionSink, _ completion: @escaping BlockCompletion) {
        sink.wake([{ completion(.failure(.readOnly)) }])
    }
}
