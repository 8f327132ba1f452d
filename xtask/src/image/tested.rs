//! The images that take the place of other people's in tests, which need no registry so: fakes of EdgeX and of Mainflux, each one program
//! that plays every service, and Debian's mosquitto.

use std::path::Path;

use iotorch_testbed::{Image, Requirement};

use super::{Archived, PROFILE, save};
use crate::build_dir::BuildDir;
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::program::{self, Program};
use crate::systems::{self, System};

// As the values of charts in tests have them.
const EDGEX: &str = "iotorch.test/edgex-fake:dev";
const MAINFLUX: &str = "iotorch.test/mainflux-fake:dev";
const MOSQUITTO: &str = "iotorch.test/mosquitto:1";

const FAKES: [(&str, Program); 2] = [
    (EDGEX, Program { package: "iotorch-edgex-fake", name: "edgex-fake" }),
    (MAINFLUX, Program { package: "iotorch-mainflux-fake", name: "mainflux-fake" }),
];

const BROKER: &str = "/usr/sbin/mosquitto";
const CONTROL: &str = "/usr/bin/mosquitto_ctrl";

/// The plug-in that keeps users. The image has it where the official one has.
const PLUGIN: &str = "/usr/lib/mosquitto_dynamic_security.so";

/// Builds them for this machine.
pub(super) fn make(build: &BuildDir) -> Result<Vec<Archived>, Failure> {
    let machine = Machine::of_this();
    let mut images = Vec::new();
    for (name, program) in FAKES {
        let path = program::build(build.cargo("build"), program, machine, PROFILE)?;
        images.push(Archived { name, path: save(&fake(machine, &path, program, name)?, program.name)? });
    }
    images.push(Archived { name: MOSQUITTO, path: save(&mosquitto()?, "mosquitto")? });
    Ok(images)
}

fn fake(machine: Machine, path: &Path, program: Program, reference: &str) -> Result<Image, Failure> {
    let within = format!("/{}", program.name);
    let image = Image::builder(reference)
        .architecture(machine.go_name())
        .file(&within, path, 0o755)
        .folder("/data", 0o1777)
        .folder("/tmp", 0o1777)
        .entrypoint([within])
        .user("65532:65532")
        .build()?;
    Ok(image)
}

/// A broker, and a shell to prepare what it keeps.
fn mosquitto() -> Result<Image, Failure> {
    systems::require(&[System { name: "mosquitto", requirement: Requirement::new(BROKER, &["mosquitto"]) }])?;
    let files = CommandLine::new("dpkg").args(["--listfiles", "mosquitto"]).output()?;
    let name = PLUGIN.rsplit('/').next().unwrap_or(PLUGIN);
    let plugin = files
        .lines()
        .find(|file| file.rsplit('/').next() == Some(name))
        .ok_or_else(|| Failure::new(format!("cannot find \"{name}\" in the package \"mosquitto\"")))?;
    let image = Image::builder(MOSQUITTO)
        .program(BROKER)?
        .program(CONTROL)?
        .file(PLUGIN, plugin, 0o644)
        .libraries_of(plugin)?
        .busybox()?
        .folder("/tmp", 0o1777)
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .entrypoint([BROKER])
        .user("1883:1883")
        .build()?;
    Ok(image)
}
