import Codecs
package import NIOCore
package import Objects
package import Primitives

/// Listings as text, JSON and XML, written straight into the response's buffer. Called on a work thread.
package enum ListingBody {
    package static func account(_ name: Bytes, _ listing: AccountListing, _ format: ListingFormat) -> ByteBuffer {
        var writer = Writer(capacity: listing.entries.count * 96 + 256)
        switch format {
        case .plain:
            for entry in listing.entries {
                switch entry {
                case .container(let name, _, _, _), .subdirectory(let name): writer.line(name)
                }
            }
        case .json:
            writer.list(listing.entries) { writer, entry in
                switch entry {
                case .container(let name, let objects, let bytes, let modified):
                    writer.text("{\"name\": ")
                    writer.quoted(name.storage)
                    writer.text(", \"count\": \(objects), \"bytes\": \(bytes), \"last_modified\": \"")
                    writer.text(HTTPDate.listing(modified))
                    writer.text("\", \"storage_policy\": ")
                    writer.quoted(Array(listing.policyName.utf8))
                    writer.text("}")
                case .subdirectory(let name): writer.jsonSubdirectory(name)
                }
            }
        case .xml, .textXML:
            writer.text("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account name=\"")
            writer.escaped(name.storage)
            writer.text("\">\n")
            for entry in listing.entries {
                switch entry {
                case .container(let name, let objects, let bytes, let modified):
                    writer.text("<container><name>")
                    writer.escaped(name.storage)
                    writer.text("</name><count>\(objects)</count><bytes>\(bytes)</bytes><last_modified>")
                    writer.text(HTTPDate.listing(modified))
                    writer.text("</last_modified><storage_policy>")
                    writer.escaped(Array(listing.policyName.utf8))
                    writer.text("</storage_policy></container>\n")
                case .subdirectory(let name):
                    writer.text("<subdir name=\"")
                    writer.escaped(name.storage)
                    writer.text("\" />\n")
                }
            }
            writer.text("</account>")
        }
        return writer.buffer
    }

    package static func container(_ name: Bytes, _ listing: ContainerListing, _ format: ListingFormat) -> ByteBuffer {
        var writer = Writer(capacity: listing.entries.count * 192 + 256)
        switch format {
        case .plain:
            for entry in listing.entries {
                switch entry {
                case .object(let name, _, _, _, _), .subdirectory(let name): writer.line(name)
                }
            }
        case .json:
            writer.list(listing.entries) { writer, entry in
                switch entry {
                case .object(let name, let etag, let bytes, let contentType, let modified):
                    writer.text("{\"name\": ")
                    writer.quoted(name.storage)
                    writer.text(", \"hash\": \"")
                    writer.text(etag.hex)
                    writer.text("\", \"bytes\": \(bytes), \"content_type\": ")
                    writer.quoted(contentType.storage)
                    writer.text(", \"last_modified\": \"")
                    writer.text(HTTPDate.listing(modified))
                    writer.text("\"}")
                case .subdirectory(let name): writer.jsonSubdirectory(name)
                }
            }
        case .xml, .textXML:
            writer.text("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"")
            writer.escaped(name.storage)
            writer.text("\">")
            for entry in listing.entries {
                switch entry {
                case .object(let name, let etag, let bytes, let contentType, let modified):
                    writer.text("<object><name>")
                    writer.escaped(name.storage)
                    writer.text("</name><hash>")
                    writer.text(etag.hex)
                    writer.text("</hash><bytes>\(bytes)</bytes><content_type>")
                    writer.escaped(contentType.storage)
                    writer.text("</content_type><last_modified>")
                    writer.text(HTTPDate.listing(modified))
                    writer.text("</last_modified></object>")
                case .subdirectory(let name):
                    writer.text("<subdir name=\"")
                    writer.escaped(name.storage)
                    writer.text("\"><name>")
                    writer.escaped(name.storage)
                    writer.text("</name></subdir>")
                }
            }
            writer.text("</container>")
        }
        return writer.buffer
    }

    private struct Writer {
        var buffer: ByteBuffer

        init(capacity: Int) { buffer = ByteBufferAllocator().buffer(capacity: capacity) }

        mutating func text(_ text: String) { buffer.writeString(text) }

        mutating func line(_ name: Bytes) {
            buffer.writeBytes(name.storage)
            buffer.writeInteger(UInt8(0x0a))
        }

        mutating func list<Entry>(_ entries: [Entry], _ write: (inout Writer, Entry) -> Void) {
            text("[")
            var isFirst = true
            for entry in entries {
                if !isFirst { text(", ") }
                isFirst = false
                write(&self, entry)
            }
            text("]")
        }

        mutating func jsonSubdirectory(_ name: Bytes) {
            text("{\"subdir\": ")
            quoted(name.storage)
            text("}")
        }

        /// A JSON string: UTF-8 as it is, quotes, backslashes and controls escaped.
        mutating func quoted(_ bytes: [UInt8]) {
            buffer.writeInteger(UInt8(0x22))
            if bytes.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c || $0 == 0x7f }) {
                for c in bytes {
                    switch c {
                    case 0x22: text("\\\"")
                    case 0x5c: text("\\\\")
                    case 0x0a: text("\\n")
                    case 0..<0x20, 0x7f:
                        let digits = Array("0123456789abcdef".utf8)
                        text("\\u00")
                        buffer.writeBytes([digits[Int(c >> 4)], digits[Int(c & 15)]])
                    default: buffer.writeInteger(c)
                    }
                }
            } else {
                buffer.writeBytes(bytes)
            }
            buffer.writeInteger(UInt8(0x22))
        }

        /// XML text or attribute value.
        mutating func escaped(_ bytes: [UInt8]) {
            for c in bytes {
                switch c {
                case 0x26: text("&amp;")
                case 0x3c: text("&lt;")
                case 0x3e: text("&gt;")
                case 0x22: text("&quot;")
                case 0x0a, 0x0d, 0x09: text("&#\(c);")
                default: buffer.writeInteger(c)
                }
            }
        }
    }
}
