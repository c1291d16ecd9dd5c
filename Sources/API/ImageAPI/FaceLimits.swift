/// Every bound of the image face.
package enum FaceLimits {
    /// The longest JSON body that is read; a longer one is a 413. Image data has a bound of its own.
    package static let bodyBytesMax = 114_688
}
