import ControlFace
package import Images

/// The definitions that a new installation begins with: properties that compute and volume services act on. The names
/// and values are those services'; administrators may change and delete them all.
package enum StandardDefinitions {
    /// What `ImageService.seedDefinitions` remembers the set by; another set gets another name.
    package static let name = "standard-1"

    /// Throws `.storage` if a document among them is broken.
    package static func all() throws(ImageError) -> [NewNamespace] {
        var all: [NewNamespace] = []
        for document in documents {
            guard let json = JSONParser.parse(Array(document.utf8)) else {
                throw .storage("a standard metadata definition is no JSON")
            }
            var new = try DefinitionFields.namespace(json)
            new.fields.visibility = .public
            new.fields.isProtected = true
            all.append(new)
        }
        return all
    }

    static let documents = [
        commonImage, computeImage, libvirt, cpu, numa, quota, watchdog, secureBoot, software, volumes,
    ]

    private static let commonImage = """
        {"namespace": "OS::Glance::CommonImageProperties", "display_name": "Common Image Properties",
         "description": "What many images say of themselves.",
         "resource_type_associations": [{"name": "OS::Glance::Image"},
            {"name": "OS::Cinder::Volume", "properties_target": "image"}],
         "properties": {
            "kernel_id": {"title": "Kernel", "type": "string", "description": "The image that is this one's kernel."},
            "ramdisk_id": {"title": "Ramdisk", "type": "string",
                "description": "The image that is this one's initial memory disk."},
            "instance_uuid": {"title": "Server", "type": "string",
                "description": "The server that the image was made from."},
            "architecture": {"title": "Architecture", "type": "string",
                "description": "The processor architecture that the image runs on."},
            "os_distro": {"title": "Distribution", "type": "string",
                "description": "Short name of the operating system's distribution."},
            "os_version": {"title": "Version", "type": "string",
                "description": "Version of the operating system, as its distributor has it."},
            "os_admin_user": {"title": "Administrator", "type": "string",
                "description": "The operating system's user who may do everything."},
            "description": {"title": "Description", "type": "string", "description": "What the image is."}}}
        """

    private static let computeImage = """
        {"namespace": "OS::Compute::Hypervisor", "display_name": "Hypervisor",
         "description": "Which hypervisors a server from the image may run on.",
         "resource_type_associations": [{"name": "OS::Glance::Image"}],
         "properties": {
            "hypervisor_type": {"title": "Hypervisor", "type": "string",
                "description": "The kind of hypervisor that the image needs.",
                "enum": ["baremetal", "hyperv", "kvm", "lxc", "qemu", "uml", "vmware", "vz", "xen"]},
            "vm_mode": {"title": "Mode", "type": "string", "description": "How the machine is virtualized.",
                "enum": ["hvm", "xen", "uml", "exe"]}}}
        """

    private static let libvirt = """
        {"namespace": "OS::Compute::LibvirtImage", "display_name": "libvirt Driver Options for Images",
         "description": "The devices that libvirt gives to servers from the image.",
         "resource_type_associations": [{"name": "OS::Glance::Image"},
            {"name": "OS::Cinder::Volume", "properties_target": "image"}],
         "properties": {
            "hw_disk_bus": {"title": "Disk Bus", "type": "string", "description": "The bus that disks are on.",
                "enum": ["scsi", "virtio", "uml", "xen", "ide", "usb", "fdc", "sata"]},
            "hw_cdrom_bus": {"title": "CD-ROM Bus", "type": "string", "description": "The bus that CD-ROMs are on.",
                "enum": ["scsi", "virtio", "uml", "xen", "ide", "usb", "fdc", "sata"]},
            "hw_scsi_model": {"title": "SCSI Controller", "type": "string", "default": "virtio-scsi",
                "description": "The model of the controller where disks are on a SCSI bus."},
            "hw_vif_model": {"title": "Network Card", "type": "string", "description": "The model of network cards.",
                "enum": ["e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3"]},
            "hw_video_model": {"title": "Graphics", "type": "string", "description": "The model of the graphics card.",
                "enum": ["vga", "cirrus", "vmvga", "xen", "qxl", "virtio", "gop", "none", "bochs"]},
            "hw_machine_type": {"title": "Machine", "type": "string", "description": "The machine to emulate."},
            "hw_firmware_type": {"title": "Firmware", "type": "string", "description": "What the machine boots with.",
                "enum": ["bios", "uefi"]},
            "hw_qemu_guest_agent": {"title": "Guest Agent", "type": "string",
                "description": "Whether QEMU's guest agent runs inside.", "enum": ["yes", "no"]},
            "hw_rng_model": {"title": "Random Numbers", "type": "string", "default": "virtio",
                "description": "The model of a device that gives random numbers."},
            "hw_serial_port_count": {"title": "Serial Ports", "type": "integer", "minimum": 0,
                "description": "How many serial ports the machine has."},
            "os_command_line": {"title": "Kernel Command Line", "type": "string",
                "description": "What the kernel is told in place of the usual."}}}
        """

    private static let cpu = """
        {"namespace": "OS::Compute::VirtCPUTopology", "display_name": "Virtual CPU Topology",
         "description": "How a server's processors are arranged.",
         "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"},
            {"name": "OS::Cinder::Volume", "prefix": "hw_", "properties_target": "image"},
            {"name": "OS::Nova::Flavor", "prefix": "hw:"}],
         "properties": {
            "cpu_sockets": {"title": "Sockets", "type": "integer", "minimum": 1, "description": "Sockets wanted."},
            "cpu_cores": {"title": "Cores", "type": "integer", "minimum": 1, "description": "Cores of a socket."},
            "cpu_threads": {"title": "Threads", "type": "integer", "minimum": 1, "description": "Threads of a core."},
            "cpu_max_sockets": {"title": "Most Sockets", "type": "integer", "minimum": 1,
                "description": "Sockets at most."},
            "cpu_max_cores": {"title": "Most Cores", "type": "integer", "minimum": 1,
                "description": "Cores of a socket at most."},
            "cpu_max_threads": {"title": "Most Threads", "type": "integer", "minimum": 1,
                "description": "Threads of a core at most."}}}
        """

    private static let numa = """
        {"namespace": "OS::Compute::CPUPinning", "display_name": "CPU Pinning and Memory",
         "description": "How a server's processors and memory are bound to its host's.",
         "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"},
            {"name": "OS::Cinder::Volume", "prefix": "hw_", "properties_target": "image"},
            {"name": "OS::Nova::Flavor", "prefix": "hw:"}],
         "properties": {
            "cpu_policy": {"title": "Processors", "type": "string",
                "description": "Whether processors are shared with other servers.",
                "enum": ["shared", "dedicated", "mixed"]},
            "cpu_thread_policy": {"title": "Threads", "type": "string",
                "description": "How dedicated processors deal with threads of one core.",
                "enum": ["isolate", "prefer", "require"]},
            "mem_page_size": {"title": "Page Size", "type": "string",
                "description": "small, large, any, or a size in KiB."}}}
        """

    private static let quota = """
        {"namespace": "OS::Compute::Quota", "display_name": "Flavor Quota",
         "description": "What a server may take of its host's processor, disk and network.",
         "resource_type_associations": [{"name": "OS::Nova::Flavor"}],
         "objects": [
            {"name": "CPU Limits", "description": "Shares and time of processors.", "properties": {
                "quota:cpu_shares": {"title": "Shares", "type": "integer", "description": "Weight among servers."},
                "quota:cpu_period": {"title": "Period", "type": "integer", "minimum": 1000, "maximum": 1000000,
                    "description": "Microseconds in which the quota is counted."},
                "quota:cpu_quota": {"title": "Quota", "type": "integer",
                    "description": "Microseconds of each period that may be used."}}},
            {"name": "Disk Limits", "description": "Rates of disks.", "properties": {
                "quota:disk_read_bytes_sec": {"title": "Bytes Read", "type": "integer",
                    "description": "Bytes read in a second at most."},
                "quota:disk_read_iops_sec": {"title": "Reads", "type": "integer",
                    "description": "Reads in a second at most."},
                "quota:disk_write_bytes_sec": {"title": "Bytes Written", "type": "integer",
                    "description": "Bytes written in a second at most."},
                "quota:disk_write_iops_sec": {"title": "Writes", "type": "integer",
                    "description": "Writes in a second at most."},
                "quota:disk_total_bytes_sec": {"title": "Bytes", "type": "integer",
                    "description": "Bytes in a second at most."},
                "quota:disk_total_iops_sec": {"title": "Operations", "type": "integer",
                    "description": "Operations in a second at most."}}},
            {"name": "Network Limits", "description": "Rates of network cards, in KB/s.", "properties": {
                "quota:vif_inbound_average": {"title": "Average In", "type": "integer"},
                "quota:vif_inbound_peak": {"title": "Peak In", "type": "integer"},
                "quota:vif_inbound_burst": {"title": "Burst In", "type": "integer"},
                "quota:vif_outbound_average": {"title": "Average Out", "type": "integer"},
                "quota:vif_outbound_peak": {"title": "Peak Out", "type": "integer"},
                "quota:vif_outbound_burst": {"title": "Burst Out", "type": "integer"}}}]}
        """

    private static let watchdog = """
        {"namespace": "OS::Compute::Watchdog", "display_name": "Watchdog",
         "description": "What happens to a server that hangs.",
         "resource_type_associations": [{"name": "OS::Glance::Image"},
            {"name": "OS::Cinder::Volume", "properties_target": "image"}, {"name": "OS::Nova::Flavor"}],
         "properties": {
            "hw_watchdog_action": {"title": "Action", "type": "string",
                "description": "What the watchdog does when it isn't fed.",
                "enum": ["disabled", "reset", "poweroff", "pause", "none"]}}}
        """

    private static let secureBoot = """
        {"namespace": "OS::Compute::SecureBoot", "display_name": "Secure Boot and TPM",
         "description": "What a server boots by, and where it keeps secrets.",
         "resource_type_associations": [{"name": "OS::Glance::Image"},
            {"name": "OS::Cinder::Volume", "properties_target": "image"}],
         "properties": {
            "os_secure_boot": {"title": "Secure Boot", "type": "string",
                "description": "Whether the firmware boots only what is signed.",
                "enum": ["required", "optional", "disabled"]},
            "hw_tpm_version": {"title": "TPM Version", "type": "string", "description": "Version of an emulated TPM.",
                "enum": ["1.2", "2.0"]},
            "hw_tpm_model": {"title": "TPM Model", "type": "string", "description": "Model of an emulated TPM.",
                "enum": ["tpm-tis", "tpm-crb"]}}}
        """

    private static let software = """
        {"namespace": "OS::Software::Runtimes", "display_name": "Runtime Environments",
         "description": "Language runtimes that are installed.",
         "resource_type_associations": [{"name": "OS::Glance::Image"},
            {"name": "OS::Cinder::Volume", "properties_target": "image"}, {"name": "OS::Nova::Server"}],
         "objects": [
            {"name": "Java", "properties": {"sw_runtime_java_version": {"title": "Java Version", "type": "string"}}},
            {"name": "PHP", "properties": {"sw_runtime_php_version": {"title": "PHP Version", "type": "string"}}},
            {"name": "Python",
                "properties": {"sw_runtime_python_version": {"title": "Python Version", "type": "string"}}},
            {"name": "Ruby", "properties": {"sw_runtime_ruby_version": {"title": "Ruby Version", "type": "string"}}}]}
        """

    private static let volumes = """
        {"namespace": "OS::Cinder::Volumetype", "display_name": "Volume Types",
         "description": "What a volume type asks of the storage behind it.",
         "resource_type_associations": [{"name": "OS::Cinder::VolumeType"}],
         "properties": {
            "volume_backend_name": {"title": "Backend", "type": "string",
                "description": "Name of the backend that volumes of the type are made on."},
            "multiattach": {"title": "Multiattach", "type": "string", "enum": ["<is> True", "<is> False"],
                "description": "Whether several servers may have a volume at a time."}}}
        """
}
