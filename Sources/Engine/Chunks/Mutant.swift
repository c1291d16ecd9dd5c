/// Deliberate bugs, for the tests that must catch each of them. They exist in debug builds only.
package enum Mutant: String, CaseIterable, Sendable {
    case skipGroupSync, acknowledgeBeforeSync, skipBulkSync
    case skipSegmentHeader, skipDirectorySync, skipChainCheck, skipPayloadCheck, skipPositionCheck
    case truncateCommittedDamage, writeBehindCut, ignoreSuccessor, skipTailSync
    case skipCheckpoint, forgetAppliedLSN, forgetLeaf, keepDroppedLeaves
    case wrongContainerDelta, wrongAccountDelta, reuseID, forgetReplaced, serveUnverified
    case dropObjectLatch, dropContainerLatch, retryFailedSync, skipSeal, overlayBeforeFrozen
    case ignoreIndexAhead, keepOrphanUpload
    case forgetCrossing, trimShowsParent, keepDroppedBlocks, staleLeaf, dropVolumeGate, dropBlockLock
    case skipFlushBeforeIndex, forgetFlushAtSegmentEnd, flushNothing
}
