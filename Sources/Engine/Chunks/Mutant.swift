/// Deliberate bugs, for the tests that must catch each of them. They exist in debug builds only.
package enum Mutant: String, CaseIterable, Sendable {
    case skipGroupSync, acknowledgeBeforeSync, skipBulkSync, leafBeforeBulkSync
    case skipSegmentHeader, skipDirectorySync, skipChainCheck, skipPayloadCheck, skipPositionCheck
    case truncateCommittedDamage, writeBehindCut, ignoreSuccessor, skipTailSync
    case applyBeforeSync, skipCheckpoint, forgetAppliedLSN, forgetLeaf, keepDroppedLeaves
    case wrongContainerDelta, wrongAccountDelta, reuseID, forgetReplaced, serveUnverified
    case dropObjectLatch, dropContainerLatch, retryFailedSync, skipSeal, overlayBeforeFrozen
    case ignoreIndexAhead, keepOrphanUpload
}
