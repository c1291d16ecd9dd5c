package import NIOCore

/// What a GET's body is made of, in order: constant bytes (the heads of multipart parts) and ranges of the object.
/// Handed out in batches of frames, so that memory stays bounded whatever the size.
package struct BodyPlan: Sendable {
    package enum Segment: Sendable {
        case literal(ByteBuffer)
        case range(Range<Int>)
    }

    package enum Piece: Sendable {
        case literal(ByteBuffer)
        /// A part of one frame, by offsets within the frame.
        case frame(Int, Range<Int>)
    }

    /// Frames that one job on a work thread reads.
    package static let framesPerBatch = 8

    private var segments: [Segment]
    private var position = 0
    private let frameBytes: Int
    package let length: Int

    package init(_ segments: [Segment], frameBytes: Int) {
        self.segments = segments
        self.frameBytes = frameBytes
        length = segments.reduce(0) { total, segment in
            switch segment {
            case .literal(let bytes): total + bytes.readableBytes
            case .range(let range): total + range.count
            }
        }
    }

    package var isAtEnd: Bool { position == segments.count }

    /// - Parameter most: frames in it, at most.
    package mutating func nextBatch(most: Int = framesPerBatch) -> [Piece] {
        var pieces: [Piece] = []
        var frames = 0
        while frames < most, position < segments.count {
            switch segments[position] {
            case .literal(let bytes):
                pieces.append(.literal(bytes))
                position += 1
            case .range(let range):
                if range.isEmpty {
                    position += 1
                    continue
                }
                let frame = range.lowerBound / frameBytes
                let start = range.lowerBound - frame * frameBytes
                let end = min(frameBytes, start + range.count)
                pieces.append(.frame(frame, start..<end))
                frames += 1
                let next = range.lowerBound + (end - start)
                if next == range.upperBound {
                    position += 1
                } else {
                    segments[position] = .range(next..<range.upperBound)
                }
            }
        }
        return pieces
    }

    /// The body of a 206 with several ranges: each part has its own head, and the whole a known length.
    package static func multipart(
        ranges: [Range<Int>], size: Int, contentType: String, boundary: String, frameBytes: Int
    ) -> BodyPlan {
        var segments: [Segment] = []
        for range in ranges {
            segments.append(
                .literal(
                    ByteBuffer(
                        string: "--\(boundary)\r\nContent-Type: \(contentType)\r\n"
                            + "Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)\r\n\r\n")))
            segments.append(.range(range))
            segments.append(.literal(ByteBuffer(string: "\r\n")))
        }
        segments.append(.literal(ByteBuffer(string: "--\(boundary)--")))
        return BodyPlan(segments, frameBytes: frameBytes)
    }
}
