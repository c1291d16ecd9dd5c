package import NIOCore
private import Primitives

/// The open connections of a listener, bounded in all and for each address: one client that opens all it can leaves room
/// for the others. (Clients behind one proxy are one address, so the bound for that is generous.)
package final class OpenConnections: Sendable {
    private struct State {
        var count = 0
        /// Only addresses that have any.
        var byAddress: [ClientAddress: Int] = [:]
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())
    private let max: Int
    private let perAddressMax: Int

    package init(max: Int, perAddressMax: Int) {
        self.max = max
        self.perAddressMax = perAddressMax
    }

    package var count: Int { mutex.withLock { state.value.count } }

    /// Counts the channel until it closes; false, and counts nothing, if there is no room for it.
    package func admit(_ channel: any Channel) -> Bool {
        let address = ClientAddress(channel.remoteAddress)
        let isAdmitted = mutex.withLock {
            let ofAddress = state.value.byAddress[address, default: 0]
            guard state.value.count < max, ofAddress < perAddressMax else { return false }
            state.value.count += 1
            state.value.byAddress[address] = ofAddress + 1
            return true
        }
        if isAdmitted { channel.closeFuture.whenComplete { [self] _ in leave(address) } }
        return isAdmitted
    }

    private func leave(_ address: ClientAddress) {
        mutex.withLock {
            state.value.count -= 1
            let left = state.value.byAddress[address, default: 1] - 1
            state.value.byAddress[address] = left > 0 ? left : nil
        }
    }
}
