/// Every bound of the volume face.
package enum FaceLimits {
    /// The longest body that is read; a longer one is a 413.
    package static let bodyBytesMax = 114_688
    /// Rows in one page.
    static let pageMax = 1_000
    static let textMax = 255
    /// Conditions that one list request may have.
    static let filtersMax = 32
}
