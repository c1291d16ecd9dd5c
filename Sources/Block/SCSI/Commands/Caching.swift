import BlockDevices
import Primitives

// SYNCHRONIZE CACHE, PRE-FETCH and START STOP UNIT (SBC-3 5.7, 5.25, 5.28).
extension Exchange {
    /// The whole cache is written, whatever blocks are named: more than asked for is allowed.
    func synchronizeCache() throws(Sense) -> SCSIResponse? {
        _ = try rangeToEnd()
        return flush(immediate: cdb.bit(1, 1))
    }

    private func flush(immediate: Bool) -> SCSIResponse? {
        guard immediate else {
            device.flush(sink: sink) { result in completion(done(result, dataOut: 0)) }
            return nil
        }
        // IMMED: told at once. A later SYNCHRONIZE CACHE without it finds out whether this one failed.
        device.flush(sink: InlineSink.shared) { _ in }
        return good()
    }

    /// Reads what fits into a step ahead, so that the device's cache has it.
    func prefetch() throws(Sense) -> SCSIResponse? {
        let range = try rangeToEnd()
        let count = Int(min(range.count, UInt64(SCSILimits.prefetchBytesMax), device.geometry.transferMax))
        guard count > 0 else { return good() }
        let work: @Sendable () -> SCSIResponse = {
            var buffer = [UInt8](repeating: 0, count: count)
            do throws(BlockError) {
                try device.read(at: range.offset, count, into: &buffer)
            } catch {
                return fail(error)
            }
            return good()
        }
        guard cdb.bit(1, 1) else { return offload(work) }
        // IMMED: a hint that nobody waits for; with too much to do it is dropped.
        _ = unit.threads.run { _ = work() }
        return good()
    }

    /// There is no motor: a stopped unit would have to be started again by somebody who knows of it. What a stop promises
    /// is kept: what was cached is on the medium.
    func startStop() throws(Sense) -> SCSIResponse? {
        // LOEJ: there is no medium to load or eject.
        guard !cdb.bit(4, 1) else { throw .field(4, bit: 1) }
        switch cdb[4] >> 4 {
        // START_VALID, ACTIVE, IDLE, STANDBY, LU_CONTROL, FORCE_IDLE_0, FORCE_STANDBY_0 (SBC-3 table 87).
        case 0x0, 0x1, 0x2, 0x3, 0x7, 0xA, 0xB: break
        default: throw .field(4, bit: 7)
        }
        let stops = cdb[4] >> 4 == 0 ? !cdb.bit(4, 0) : cdb[4] >> 4 != 0x1
        guard stops, !cdb.bit(4, 2) else { return good() }
        return flush(immediate: cdb.bit(1, 0))
    }

    /// LBA and NUMBER OF LOGICAL BLOCKS, where zero blocks mean all to the end.
    private func rangeToEnd() throws(Sense) -> BlockRange {
        let geometry = device.geometry
        var extent = Extent(cdb)
        if extent.blocks == 0, extent.lba <= geometry.blockCount { extent.blocks = geometry.blockCount - extent.lba }
        return try geometry.range(of: extent)
    }
}
