//! `image`: the container image of gateways and servers, made of the static program and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use iotorch_testbed::{Image, Testbed};

use crate::build_dir::BuildDir;
use crate::cli::ImageOptions;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::program;
use crate::systems;
use crate::terminal;
use crate::workspace;

/// What the image of a clone is called.
pub(crate) const NAME: &str = "iotorch:dev";

/// How cargo builds the program in it: quickly, and without debug information.
const PROFILE: &str = "image";

pub(crate) fn run(build: &BuildDir, options: &ImageOptions) -> Result<PathBuf, Failure> {
    let testbed = if options.load { Some(Testbed::open()?) } else { None };
    let archive = make(build, options.target.unwrap_or_else(Machine::of_this))?;
    if let Some(testbed) = testbed {
        load(&testbed, &archive)?;
    }
    Ok(archive)
}

/// Builds the image of this clone, and gives the archive that it is in.
pub(crate) fn make(build: &BuildDir, machine: Machine) -> Result<PathBuf, Failure> {
    systems::require(&machine.compilers())?;
    let program = program::build(build.cargo("build"), machine, PROFILE)?;
    let folder = workspace::root().join("target/image");
    let archive = folder.join(format!("iotorch-{}.tar", machine.name()));
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(format!("cannot create \"{}\"", folder.display())).with_source(error)
    })?;
    // With the registry that is meant where a name has none.
    of(machine, &program, &format!("docker.io/library/{NAME}"))?.save(&archive)?;
    Ok(archive)
}

/// Has all clusters know an image.
pub(crate) fn load(testbed: &Testbed, archive: &Path) -> Result<(), Failure> {
    for cluster in testbed.clusters() {
        terminal::note(&format!("{}: loading the image {NAME}", cluster.name()));
        cluster.load_image(archive)?;
    }
    Ok(())
}

/// An image of the program: it runs as nobody in particular, and writes to `/data` and `/tmp`, where volumes may lie.
pub(crate) fn of(machine: Machine, program: &Path, reference: &str) -> Result<Image, Failure> {
    let image = Image::builder(reference)
        .architecture(machine.go_name())
        .file("/iotorch", program, 0o755)
        .folder("/data", 0o1777)
        .folder("/tmp", 0o1777)
        .entrypoint(["/iotorch"])
        .env("HOME", "/tmp")
        .user("65532:65532")
        .build()?;
    Ok(image)
}
