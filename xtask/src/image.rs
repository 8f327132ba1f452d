//! `image`: the container image of gateways and servers, made of the static program and nothing else, and those that tests need beside it.

mod tested;

use std::ffi::OsString;
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
const NAME: &str = "iotorch:dev";

/// How cargo builds the program in it: quickly, and without debug information.
const PROFILE: &str = "image";

/// An image, and the archive that it is in.
#[derive(Debug)]
pub(crate) struct Archived {
    /// What pods call it.
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
}

pub(crate) fn run(build: &BuildDir, options: &ImageOptions) -> Result<Vec<Archived>, Failure> {
    let testbed = if options.load { Some(Testbed::open()?) } else { None };
    let mut images = vec![make(build, options.target.unwrap_or_else(Machine::of_this))?];
    if let Some(testbed) = testbed {
        images.append(&mut tested::make(build)?);
        load(&testbed, &images)?;
    }
    Ok(images)
}

/// Builds all images that tests need.
pub(crate) fn make_for_tests(build: &BuildDir) -> Result<Vec<Archived>, Failure> {
    let mut images = vec![make(build, Machine::of_this())?];
    images.append(&mut tested::make(build)?);
    Ok(images)
}

/// Builds the image of this clone.
fn make(build: &BuildDir, machine: Machine) -> Result<Archived, Failure> {
    systems::require(&machine.compilers())?;
    let program = program::build(build.cargo("build"), program::IOTORCH, machine, PROFILE)?;
    // With the registry that is meant where a name has none.
    let image = of(machine, &program, &format!("docker.io/library/{NAME}"))?;
    Ok(Archived { name: NAME, path: save(&image, &format!("iotorch-{}", machine.name()))? })
}

/// Writes an image to an archive of this name.
fn save(image: &Image, name: &str) -> Result<PathBuf, Failure> {
    let folder = workspace::root().join("target/image");
    let archive = folder.join(format!("{name}.tar"));
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(format!("cannot create \"{}\"", folder.display())).with_source(error)
    })?;
    image.save(&archive)?;
    Ok(archive)
}

/// Has all clusters know images.
pub(crate) fn load(testbed: &Testbed, images: &[Archived]) -> Result<(), Failure> {
    for cluster in testbed.clusters() {
        for image in images {
            terminal::note(&format!("{}: loading the image {}", cluster.name(), image.name));
            cluster.load_image(&image.path)?;
        }
    }
    Ok(())
}

/// The files with values of charts by which these run on the images that tests need, and what tells tests of them.
const VALUES: [(&str, &str); 2] = [
    ("IOTORCH_EDGEX_VALUES", "iotorch-k8s/tests/charts/edgex-fake.yaml"),
    ("IOTORCH_MAINFLUX_VALUES", "iotorch-k8s/tests/charts/mainflux-fake.yaml"),
];

/// What tests are told of images, by variables that CONTRIBUTING.md lists.
pub(crate) fn variables() -> impl Iterator<Item = (&'static str, OsString)> {
    let values = VALUES.map(|(variable, file)| (variable, workspace::root().join(file).into()));
    [("IOTORCH_LITE_IMAGE", NAME.into())].into_iter().chain(values)
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
