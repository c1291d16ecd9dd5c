import Objects

/// `/info`: what this build can do, and its limits. Clients use a feature when its section is there, so nothing is
/// announced that does not work yet.
package enum InfoDocument {
    package static func json(policyName: String, headerCountMax: Int) -> String {
        let policy = policyName.filter { $0 != "\"" && $0 != "\\" }
        return """
            {"swift": {"version": "2.37.0", \
            "policies": [{"name": "\(policy)", "aliases": "\(policy)", "default": true}], \
            "max_file_size": \(ObjectLimits.objectBytesMax), \
            "max_meta_name_length": \(ObjectLimits.metadataNameBytesMax), \
            "max_meta_value_length": \(ObjectLimits.metadataValueBytesMax), \
            "max_meta_count": \(ObjectLimits.metadataCountMax), \
            "max_meta_overall_size": \(ObjectLimits.metadataBytesMax), \
            "max_header_size": \(ObjectLimits.headerValueBytesMax), "max_request_line": 8192, \
            "max_object_name_length": \(ObjectLimits.objectNameBytesMax), \
            "container_listing_limit": \(ObjectLimits.listingLimit), \
            "account_listing_limit": \(ObjectLimits.listingLimit), \
            "max_account_name_length": \(ObjectLimits.accountNameBytesMax), \
            "max_container_name_length": \(ObjectLimits.containerNameBytesMax), \
            "extra_header_count": \(max(0, headerCountMax - 126)), \
            "valid_api_versions": ["v1", "v1.0"], "auto_create_account_prefix": ".", "strict_cors_mode": true, \
            "allow_account_management": false, "account_autocreate": true, "allow_open_expired": false}}
            """
    }
}
