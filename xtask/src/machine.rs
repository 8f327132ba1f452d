//! The machines that programs are built for, and what that takes here.

use std::env::consts::ARCH;

use clap::ValueEnum;
use iotorch_testbed::Requirement;

use crate::systems::System;

/// A kind of processor, under Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// 64-bit PCs and servers
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM: a Raspberry Pi 3 or later with a 64-bit system, and many boards
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Machine {
    /// The machine this runs on; one that programs are not built for passes for the commonest.
    pub(crate) fn of_this() -> Self {
        if Self::Aarch64.is_native() { Self::Aarch64 } else { Self::X86_64 }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The compiler's word for it. With musl as C library a program can be linked statically, name resolution included.
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Go's word for it, which container images use too (OCI Image Specification 1.1, "architecture").
    pub(crate) const fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The C compiler for the few dependencies that have C in them (ring). Its output is linked by Rust's own linker with Rust's
    /// own musl, so that for another machine one with other C headers will do.
    pub(crate) fn c_compiler(self) -> &'static str {
        match self {
            _ if self.is_native() => "musl-gcc",
            Self::X86_64 => "x86_64-linux-gnu-gcc",
            Self::Aarch64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// What runs its programs here; nothing is needed on a machine of the same kind.
    pub(crate) fn emulator(self) -> Option<&'static str> {
        match self {
            _ if self.is_native() => None,
            Self::X86_64 => Some("qemu-x86_64-static"),
            Self::Aarch64 => Some("qemu-aarch64-static"),
        }
    }

    /// What has to be here to build for it, and the Debian packages that bring it.
    pub(crate) fn compilers(self) -> Vec<System> {
        let packages = match self {
            _ if self.is_native() => &["musl-tools"][..],
            Self::X86_64 => &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Aarch64 => &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        };
        vec![System { name: "C compiler", requirement: Requirement::new(self.c_compiler(), packages) }]
    }

    /// What has to be here to build for it and to try what was built.
    pub(crate) fn systems(self) -> Vec<System> {
        let emulator = self.emulator().map(|program| System {
            name: "emulator",
            requirement: Requirement::new(program, &["qemu-user-static"]),
        });
        self.compilers().into_iter().chain(emulator).collect()
    }

    fn is_native(self) -> bool {
        self.name() == ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_for_this_machine_needs_no_emulator_and_one_for_another_does() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let programs: Vec<_> =
                machine.systems().iter().map(|system| system.requirement.program).collect();
            if machine.name() == ARCH {
                assert_eq!(programs, ["musl-gcc"]);
            } else {
                assert_eq!(
                    programs,
                    [format!("{}-linux-gnu-gcc", machine.name()), format!("qemu-{}-static", machine.name())]
                );
            }
        }
    }
}
