import Testing

@Suite struct InterleavingTests {
    @Test func ofTwoExclusivePutsOneWins() throws { try Rigs.twoExclusivePuts() }
    @Test func aPutAndItsContainersDeleteExcludeEachOther() throws { try Rigs.putAgainstContainerDelete() }
    @Test func aReadGoesOnAcrossOverwriteAndDelete() throws { try Rigs.readAcrossOverwrite() }
    @Test func aHalfDoneUploadLeavesNothingAfterACrash() throws { try Rigs.uploadThenCrash() }
    @Test func aLostGroupThatALaterOneVouchesForIsDamage() throws { try Rigs.lostGroup() }
    @Test func anIndexAheadOfTheLogIsRefusedWrites() throws { try Rigs.indexAhead() }
    @Test func lostIndexCopiesAreMadeAgainAndWithoutAnyTheStoreIsRefused() throws { try Rigs.lostIndexes() }
    @Test func damageOfWhatALaterGroupVouchesForIsNeverCutOff() throws { try Rigs.vouchedGroups() }
    @Test func swappedGroupsAreDamage() throws { try Rigs.swappedGroups() }
    @Test func aMisplacedCopyOfAGroupIsNotFollowed() throws { try Rigs.misplacedGroup() }
    @Test func whatARestartedStoreShowsSurvivesAPowerCut() throws { try Rigs.killBeforeSync() }
    @Test func theAppliedLSNIsDurable() throws { try Rigs.appliedIsDurable() }
    @Test func readsAreRightWhileAnOverlayIsFrozen() throws { try Rigs.readAcrossFrozen() }
    @Test func writesOfPartsOfABlockDoNotUndoEachOther() throws { try Rigs.sectorsAtOnce() }
    @Test func aSnapshotWaitsForWritesThatFoundTheOldHead() throws { try Rigs.snapshotBetween() }
    @Test func aLeafIsNotTakenFromAnIndexThatMovedOn() throws { try Rigs.leafAcrossFreeze() }
    @Test func aWriteAcrossTheEndOfALeafIsWhole() throws { try Rigs.acrossLeaves() }
    @Test func trimmedBlocksHideTheSnapshotsBelow() throws { try Rigs.trimAboveSnapshot() }
    @Test func droppedLayersLeaveNothingBehind() throws { try Rigs.dropBeforeFreeze() }
    @Test func cachedWritesOutliveTheProcess() throws { try Rigs.cachedWritesOutliveTheProcess() }
    @Test func aFlushReachesCachedWritesInEarlierSegments() throws { try Rigs.cachedWritesAcrossSegments() }
    @Test func aCheckpointWaitsForCachedWritesToBeDurable() throws { try Rigs.cachedWritesThenACheckpoint() }
    @Test func nothingIsWrittenBehindACut() throws { try Rigs.nothingBehindTheCut() }
    @Test func aGroupOfAnotherHistoryIsNotReplayed() throws { try Rigs.foreignGroup() }
}
