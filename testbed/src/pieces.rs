//! The images that every cluster has from the beginning.

use crate::error::Result;
use crate::image::Image;
use crate::modules::{Module, Programs};

/// Holds a pod's namespaces.
pub(crate) const PAUSE: &str = "iotorch.test/pause:1";

/// The cluster's name server.
pub(crate) const DNS: &str = "iotorch.test/coredns:1";

/// A shell and small programs, to look around with.
pub(crate) const BUSYBOX: &str = "iotorch.test/busybox:1";

/// Debian's package busybox-static has it here.
pub(crate) const BUSYBOX_PROGRAM: &str = "/bin/busybox";

pub(crate) fn images(programs: &Programs) -> Result<[Image; 3]> {
    Ok([
        Image::builder(PAUSE)
            .file("/pause", programs.path(Module::Parts, "pause"), 0o755)
            .entrypoint(["/pause"])
            .user("65534:65534")
            .build()?,
        Image::builder(DNS)
            .file("/coredns", programs.path(Module::Coredns, "coredns"), 0o755)
            .entrypoint(["/coredns"])
            .port("53/udp")
            .port("53/tcp")
            .build()?,
        busybox()?,
    ])
}

fn busybox() -> Result<Image> {
    Image::builder(BUSYBOX)
        .busybox()?
        .folder("/tmp", 0o1777)
        .bytes("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
        .bytes("/etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644)
        .env("PATH", "/bin")
        .arguments(["sh"])
        .build()
}
