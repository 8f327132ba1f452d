//! The systems that tests and releases need beside Rust, and how they come onto this machine.

use iotorch_testbed::{Requirement, find_program};

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;

/// A system that is there if a program is.
#[derive(Debug)]
pub(crate) struct System {
    /// What it is called; tests name it so in `IOTORCH_REQUIRE`.
    pub(crate) name: &'static str,
    /// The program whose presence tells that the system is there, and the Debian packages that bring it.
    pub(crate) requirement: Requirement,
}

/// What a person does who wants tests without one of the systems.
pub(crate) const HOW_TO_DO_WITHOUT: &str = "set IOTORCH_REQUIRE to the systems that must be there, separated by commas (empty: \
    none), to have the tests of others ignored";

/// The real systems that Debian packages bring.
const SYSTEMS: &[System] = &[
    System { name: "mosquitto", requirement: Requirement::new("mosquitto_pub", &["mosquitto-clients"]) },
    System { name: "mosquitto", requirement: Requirement::new("mosquitto", &["mosquitto"]) },
    System { name: "influxdb", requirement: Requirement::new("influxd", &["influxdb"]) },
    System { name: "libcoap", requirement: Requirement::new("coap-client-openssl", &["libcoap3-bin"]) },
];

/// Names of real systems that tests run against, with commas; `all` names every one.
#[derive(Clone, Debug)]
pub(crate) struct Required(String);

impl Required {
    /// The caller's own choice (`IOTORCH_REQUIRE`), otherwise every system.
    pub(crate) fn choose() -> Self {
        Self(environment::required_systems().unwrap_or_else(|| "all".to_owned()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.split(',').any(|word| ["all", name].contains(&word.trim()))
    }

    /// The value of `IOTORCH_REQUIRE` under which tests fail, not skip, when a system is absent.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Installs what is missing of the systems that Debian packages bring.
///
/// # Errors
///
/// A system that must be there is absent and cannot be installed.
pub(crate) fn provide(required: &Required) -> Result<(), Failure> {
    let missing = install_missing(SYSTEMS)?;
    let (needed, optional): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|system| required.has(system.name));
    for system in optional {
        terminal::warning(&format!(
            "\"{}\" is absent, so its tests are ignored; the Debian package \"{}\" brings it",
            system.name,
            system.requirement.debian_packages.join("\" or \"")
        ));
    }
    if needed.is_empty() {
        return Ok(());
    }
    Err(cannot_find(&needed).with_help(how_to_install(&needed)).or_help(HOW_TO_DO_WITHOUT))
}

/// Installs what is missing of systems that must be there.
///
/// # Errors
///
/// A system is absent and cannot be installed.
pub(crate) fn require(systems: &[System]) -> Result<(), Failure> {
    let missing = install_missing(systems)?;
    if missing.is_empty() { Ok(()) } else { Err(cannot_find(&missing).with_help(how_to_install(&missing))) }
}

/// Installs what is missing where that is possible, and gives what is missing still.
fn install_missing(systems: &[System]) -> Result<Vec<&System>, Failure> {
    let missing = absent(systems);
    if missing.is_empty() || !can_install() {
        return Ok(missing);
    }
    install(&missing)?;
    Ok(absent(systems))
}

fn absent(systems: &[System]) -> Vec<&System> {
    systems.iter().filter(|system| !system.requirement.is_met()).collect()
}

fn can_install() -> bool {
    let is_root = CommandLine::new("id").arg("-u").output().is_ok_and(|user| user.trim() == "0");
    is_root && find_program("apt-get").is_some()
}

fn install(missing: &[&System]) -> Result<(), Failure> {
    CommandLine::new("apt-get").args(["update", "--quiet"]).run()?;
    CommandLine::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(missing.iter().flat_map(|system| system.requirement.debian_packages))
        .run()
}

fn cannot_find(needed: &[&System]) -> Failure {
    let names: Vec<String> = needed.iter().map(|system| format!("\"{}\"", system.name)).collect();
    let programs: Vec<String> = needed.iter().map(|system| format!("no {}", system.requirement)).collect();
    Failure::new(format!(
        "cannot find the system {}: {} on the search path",
        names.join(", "),
        programs.join(", ")
    ))
}

fn how_to_install(needed: &[&System]) -> String {
    let packages: Vec<&str> =
        needed.iter().flat_map(|system| system.requirement.debian_packages).copied().collect();
    format!("install it (on Debian or Ubuntu: sudo apt-get install {})", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_system_is_found_by_its_whole_name_or_by_all() {
        let has = |names: &str| Required(names.to_owned()).has("mosquitto");
        assert!(has("kubernetes, mosquitto"));
        assert!(has("all"));
        assert!(!has("mosquitto2"));
        assert!(!has(""));
    }

    #[test]
    fn a_system_that_is_not_there_is_named_with_its_package() {
        let system = System { name: "broker", requirement: Requirement::new("no-such-program", &["a", "b"]) };
        assert_eq!(absent(std::slice::from_ref(&system)).len(), 1);
        assert_eq!(
            cannot_find(&[&system]).to_string(),
            "cannot find the system \"broker\": no program \"no-such-program\" on the search path"
        );
        assert_eq!(how_to_install(&[&system]), "install it (on Debian or Ubuntu: sudo apt-get install a b)");
    }
}
