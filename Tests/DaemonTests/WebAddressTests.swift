import NIOCore
import Testing

@testable import Daemon

@Suite("Addresses that images are fetched from") struct WebAddressTests {
    @Test(
        "an address is a scheme, a host, a port and a path, and nothing else",
        arguments: [
            ("http://example.org/a?b=c", "example.org", 80, "/a?b=c"), ("https://example.org", "example.org", 443, "/"),
            ("HTTPS://Example.org:8443/x#y", "Example.org", 8443, "/x"),
            ("http://[2001:db8::1]:81/", "2001:db8::1", 81, "/"),
            ("http://host?q", "host", 80, "/?q"),
        ])
    func good(text: String, host: String, port: Int, path: String) throws {
        let address = try #require(WebAddress(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.path == path)
    }

    @Test(
        "anything else is none",
        arguments: [
            "", "ftp://host/", "file:///etc/passwd", "http://", "http:///x", "http://user@host/",
            "http://user:pw@host/",
            "http://host:0/", "http://host:65536/", "http://host:8o/", "http://host:80:80/", "http://ho st/",
            "http://host\\@other/", "http://[::1/", "http://[::1]x/", "http://h\u{e9}/", "http://host/\u{7f}",
            "http://" + String(repeating: "a", count: 300) + "/",
        ])
    func bad(text: String) { #expect(WebAddress(text) == nil) }

    @Test(
        "this machine, its neighbours and its cloud are not the world",
        arguments: [
            "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
            "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1",
            "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
            "2002:7f00:1::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001::1", "2001:db8::1", "100::1",
        ])
    func inside(text: String) throws {
        #expect(!PublicAddress.isPublic(try SocketAddress(ipAddress: text, port: 80)))
    }

    @Test("the world is", arguments: ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2002:101:101::1"])
    func outside(text: String) throws {
        #expect(PublicAddress.isPublic(try SocketAddress(ipAddress: text, port: 80)))
    }
}
