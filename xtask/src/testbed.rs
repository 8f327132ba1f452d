//! `testbed`: real clusters on this machine, by the crate `iotorch-testbed`.

mod status;

use std::error::Error;
use std::path::{Path, PathBuf};

use iotorch_testbed::{ADDRESSES, Cluster, Component, Module, REQUIREMENTS, Requirement, Testbed};

use crate::cli::TestbedTask;
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::systems::{self, System};
use crate::terminal;

pub(crate) fn run(task: &TestbedTask) -> Result<(), Failure> {
    match task {
        TestbedTask::Up { kind, nodes } => {
            systems::require(&requirements())?;
            let testbed = Testbed::up_with(*kind, *nodes, &terminal::note)?;
            terminal::print(&testbed.kubeconfig().display().to_string())
        }
        TestbedTask::Status => terminal::print(&status::of(&Testbed::open()?)),
        TestbedTask::Env => terminal::print(&environment(&Testbed::open()?)),
        TestbedTask::Logs { cluster, component, lines, follow } => {
            logs(&Testbed::open()?, cluster.as_deref(), *component, *lines, *follow)
        }
        TestbedTask::Load { archives, cluster } => {
            let testbed = Testbed::open()?;
            for cluster in chosen(&testbed, cluster.as_deref())? {
                archives.iter().try_for_each(|archive| cluster.load_image(archive))?;
            }
            Ok(())
        }
        TestbedTask::Kill { cluster, component } => {
            Ok(Testbed::open()?.cluster(cluster)?.kill(*component)?)
        }
        TestbedTask::Start { cluster, component } => {
            Ok(Testbed::open()?.cluster(cluster)?.start(*component)?)
        }
        TestbedTask::Cut { cluster, link } => Ok(Testbed::open()?.cluster(cluster)?.cut((*link).into())?),
        TestbedTask::Mend { cluster, link } => Ok(Testbed::open()?.cluster(cluster)?.mend((*link).into())?),
        TestbedTask::Build { modules } => build(modules),
        TestbedTask::Down => Ok(Testbed::down(&terminal::note)?),
    }
}

/// What has to be on this machine to bring clusters up.
pub(crate) fn requirements() -> Vec<System> {
    let system = |requirement: &Requirement| System {
        name: requirement.debian_packages.first().copied().unwrap_or(requirement.program),
        requirement: *requirement,
    };
    REQUIREMENTS.iter().map(system).collect()
}

fn build(modules: &[Module]) -> Result<(), Failure> {
    let modules = if modules.is_empty() { &Module::ALL } else { modules };
    for module in modules {
        terminal::print(&module.build(&terminal::note)?.display().to_string())?;
    }
    Ok(())
}

fn chosen<'a>(testbed: &'a Testbed, name: Option<&str>) -> Result<Vec<&'a Cluster>, Failure> {
    Ok(match name {
        Some(name) => vec![testbed.cluster(name)?],
        None => testbed.clusters().iter().collect(),
    })
}

/// Lines for a shell.
fn environment(testbed: &Testbed) -> String {
    let programs = [testbed.kubectl(), testbed.helm4(), testbed.helm3()];
    let folders: Vec<String> = programs
        .iter()
        .filter_map(|program| program.parent())
        .map(|folder| folder.display().to_string())
        .collect();
    format!(
        "export KUBECONFIG=\"{}\"\nexport PATH=\"{}:$PATH\"\nexport NO_PROXY=\"{ADDRESSES}${{NO_PROXY:+,$NO_PROXY}}\"\n",
        testbed.kubeconfig().display(),
        folders.join(":")
    )
}

fn logs(
    testbed: &Testbed,
    cluster: Option<&str>,
    component: Option<Component>,
    lines: u64,
    follow: bool,
) -> Result<(), Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for cluster in chosen(testbed, cluster)? {
        let components = cluster.components().iter();
        let wanted = components.filter(|known| component.is_none_or(|component| component == **known));
        files.extend(wanted.map(|component| cluster.log(*component)));
    }
    files.retain(|file| Path::new(file).is_file());
    if files.is_empty() {
        return Err(Failure::new("cannot find any such log"));
    }
    let mut tail = CommandLine::new("tail").arg(format!("--lines={lines}"));
    if follow {
        // By name, so that a component that is started again is followed too.
        tail = tail.arg("--follow=name");
    }
    tail.args(files).run()
}

impl From<iotorch_testbed::Error> for Failure {
    fn from(error: iotorch_testbed::Error) -> Self {
        let failure = Self::new(error.to_string());
        let failure = match error.help() {
            Some(help) => failure.with_help(help),
            None => failure,
        };
        // The message is the failure's own, so its causes follow.
        match error.into_cause() {
            Some(cause) => failure.with_source(cause as Box<dyn Error>),
            None => failure,
        }
    }
}
