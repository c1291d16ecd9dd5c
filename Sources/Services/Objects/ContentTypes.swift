package import Primitives

/// The content type that a name's extension suggests.
package enum ContentTypes {
    package static let fallback = "application/octet-stream"

    package static func guess(_ name: Bytes) -> String {
        let base = name.storage.lastIndex(of: UInt8(ascii: "/")).map { name.storage[($0 + 1)...] } ?? name.storage[...]
        guard let dot = base.lastIndex(of: UInt8(ascii: ".")), dot > base.startIndex else { return fallback }
        let suffix = base[(dot + 1)...]
        guard (1...8).contains(suffix.count) else { return fallback }
        return table[String(decoding: suffix.map(asciiLowercase), as: UTF8.self)] ?? fallback
    }

    private static let table: [String: String] = [
        "7z": "application/x-7z-compressed", "aac": "audio/aac", "avi": "video/x-msvideo", "avif": "image/avif",
        "bin": "application/octet-stream", "bmp": "image/bmp", "bz2": "application/x-bzip2", "c": "text/x-csrc",
        "conf": "text/plain", "cpp": "text/x-c++src", "css": "text/css", "csv": "text/csv",
        "deb": "application/x-debian-package",
        "doc": "application/msword", "eot": "application/vnd.ms-fontobject", "eps": "application/postscript",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "epub": "application/epub+zip", "flac": "audio/flac", "gif": "image/gif", "gz": "application/gzip",
        "h": "text/x-chdr", "htm": "text/html", "html": "text/html", "ico": "image/vnd.microsoft.icon",
        "ics": "text/calendar", "iso": "application/x-iso9660-image", "jar": "application/java-archive",
        "java": "text/x-java", "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript",
        "json": "application/json", "jsonld": "application/ld+json", "log": "text/plain", "m4a": "audio/mp4",
        "m4v": "video/x-m4v", "md": "text/markdown", "mid": "audio/midi", "midi": "audio/midi",
        "mjs": "text/javascript",
        "mkv": "video/x-matroska", "mov": "video/quicktime", "mp3": "audio/mpeg", "mp4": "video/mp4",
        "mpeg": "video/mpeg",
        "odp": "application/vnd.oasis.opendocument.presentation",
        "ods": "application/vnd.oasis.opendocument.spreadsheet",
        "odt": "application/vnd.oasis.opendocument.text", "ogg": "audio/ogg", "ogv": "video/ogg", "opus": "audio/opus",
        "otf": "font/otf", "parquet": "application/vnd.apache.parquet", "pdf": "application/pdf", "png": "image/png",
        "ppt": "application/vnd.ms-powerpoint", "ps": "application/postscript", "py": "text/x-python",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "rar": "application/vnd.rar", "rpm": "application/x-rpm", "rs": "text/rust", "rst": "text/x-rst",
        "rtf": "application/rtf", "sh": "application/x-sh", "sql": "application/sql", "svg": "image/svg+xml",
        "swift": "text/x-swift", "tar": "application/x-tar", "tgz": "application/gzip", "tif": "image/tiff",
        "tiff": "image/tiff", "toml": "application/toml", "tsv": "text/tab-separated-values", "ttf": "font/ttf",
        "txt": "text/plain", "wasm": "application/wasm", "wav": "audio/x-wav", "weba": "audio/webm",
        "webm": "video/webm",
        "webmanifest": "application/manifest+json", "webp": "image/webp", "woff": "font/woff", "woff2": "font/woff2",
        "xhtml": "application/xhtml+xml", "xls": "application/vnd.ms-excel", "xml": "application/xml",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xz": "application/x-xz",
        "yaml": "application/yaml", "yml": "application/yaml", "zip": "application/zip", "zst": "application/zstd",
    ]
}
