import Testing

@testable import ISCSI

@Suite struct SessionParametersTests {
    @Test(arguments: [
        // Lists: the initiator's first choice that both know.
        ("HeaderDigest", "CRC32C,None", "CRC32C"), ("HeaderDigest", "None,CRC32C", "None"),
        ("DataDigest", "X-new,None", "None"), ("DataDigest", "X-new", "Reject"), ("DataDigest", "", "Reject"),
        // Booleans.
        ("InitialR2T", "No", "No"), ("InitialR2T", "Yes", "Yes"), ("InitialR2T", "maybe", "Reject"),
        ("ImmediateData", "No", "No"), ("DataPDUInOrder", "No", "Yes"), ("DataSequenceInOrder", "Yes", "Yes"),
        // Numbers: minimum, maximum, out of range.
        ("MaxConnections", "8", "1"), ("MaxConnections", "0", "Reject"), ("MaxConnections", "65536", "Reject"),
        ("MaxOutstandingR2T", "16", "1"), ("ErrorRecoveryLevel", "2", "0"), ("ErrorRecoveryLevel", "3", "Reject"),
        ("DefaultTime2Wait", "0", "2"), ("DefaultTime2Wait", "60", "60"), ("DefaultTime2Wait", "3601", "Reject"),
        ("DefaultTime2Retain", "20", "0"), ("MaxBurstLength", "16776192", "1048576"), ("MaxBurstLength", "512", "512"),
        ("MaxBurstLength", "511", "Reject"), ("FirstBurstLength", "0x10000", "65536"),
        ("FirstBurstLength", "16777216", "Reject"), ("iSCSIProtocolLevel", "2", "1"),
        // Old, unknown, and other sorts.
        ("IFMarker", "No", "No"), ("OFMarker", "Yes", "No"), ("IFMarkInt", "1", "Reject"),
        ("X-com.example.key", "1", "NotUnderstood"), ("Whatever", "1", "NotUnderstood"),
        ("TaskReporting", "FastAbort,ResponseFence", "ResponseFence"), ("TaskReporting", "FastAbort", "Reject"),
    ])
    func eachKeyIsAnsweredByItsRule(_ key: String, _ offer: String, _ answer: String) {
        var parameters = SessionParameters()
        #expect(parameters.negotiate(key, offer, isDiscovery: false) == .value(answer))
    }

    @Test(arguments: ["MaxConnections", "InitialR2T", "MaxBurstLength", "DataPDUInOrder", "TaskReporting"])
    func discoveryFindsTransferKeysIrrelevant(_ key: String) {
        var parameters = SessionParameters()
        #expect(parameters.negotiate(key, "1", isDiscovery: true) == .value("Irrelevant"))
    }

    @Test func whatWasAgreedHolds() {
        var parameters = SessionParameters()
        #expect(parameters.negotiate("MaxRecvDataSegmentLength", "65536", isDiscovery: false) == .none)
        _ = parameters.negotiate("InitialR2T", "No", isDiscovery: false)
        _ = parameters.negotiate("FirstBurstLength", "262144", isDiscovery: false)
        _ = parameters.negotiate("MaxBurstLength", "4096", isDiscovery: false)
        #expect(parameters.peerDataSegmentBytes == 65536)
        #expect(!parameters.initialR2T)
        // Never more unsolicited than a burst.
        #expect(parameters.unsolicitedBytesMax == 4096)
    }

    @Test(arguments: ["511", "16777216", "x", ""])
    func anImpossibleSegmentLengthEndsTheLogin(_ value: String) {
        var parameters = SessionParameters()
        #expect(parameters.negotiate("MaxRecvDataSegmentLength", value, isDiscovery: false) == .violation)
    }

    @Test func laterOnlyTheSegmentLengthMayChange() {
        var parameters = SessionParameters()
        #expect(parameters.renegotiate("MaxRecvDataSegmentLength", "4096") == .none)
        #expect(parameters.renegotiate("MaxBurstLength", "4096") == .value("Reject"))
        #expect(parameters.renegotiate("X-y", "4096") == .value("NotUnderstood"))
    }
}
