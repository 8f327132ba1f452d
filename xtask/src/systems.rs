//! The real systems that tests run against, and how they come onto this machine.

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;

/// A system as tests name it in `IOTORCH_REQUIRE`.
#[derive(Debug)]
struct System {
    name: &'static str,
    /// The program whose presence tells that the system is there.
    program: &'static str,
    debian_package: &'static str,
}

const SYSTEMS: &[System] =
    &[System { name: "mosquitto", program: "mosquitto_pub", debian_package: "mosquitto-clients" }];

/// Installs what is missing and gives the value of `IOTORCH_REQUIRE` under which tests fail, not skip, when a system is
/// absent: the caller's own value, otherwise every system known here.
///
/// # Errors
///
/// A system that must be there is absent and cannot be installed.
pub(crate) fn provide() -> Result<String, Failure> {
    let required = environment::required_systems()
        .unwrap_or_else(|| SYSTEMS.iter().map(|system| system.name).collect::<Vec<_>>().join(","));
    let mut missing = absent();
    if !missing.is_empty() && can_install() {
        install(&missing)?;
        missing = absent();
    }
    let (needed, optional): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|system| is_named(&required, system.name));
    for system in optional {
        terminal::warning(&format!(
            "\"{}\" is absent, so its tests are ignored; the Debian package \"{}\" brings it",
            system.name, system.debian_package
        ));
    }
    if needed.is_empty() { Ok(required) } else { Err(cannot_provide(&needed)) }
}

fn absent() -> Vec<&'static System> {
    SYSTEMS.iter().filter(|system| environment::find_program(system.program).is_none()).collect()
}

fn is_named(required: &str, name: &str) -> bool {
    required.split(',').any(|word| ["all", name].contains(&word.trim()))
}

fn can_install() -> bool {
    let is_root = CommandLine::new("id").arg("-u").output().is_ok_and(|user| user.trim() == "0");
    is_root && environment::find_program("apt-get").is_some()
}

fn install(missing: &[&System]) -> Result<(), Failure> {
    CommandLine::new("apt-get").args(["update", "--quiet"]).run()?;
    CommandLine::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(missing.iter().map(|system| system.debian_package))
        .run()
}

fn cannot_provide(needed: &[&System]) -> Failure {
    let list = |word: fn(&System) -> &str| needed.iter().map(|system| word(system)).collect::<Vec<_>>();
    Failure::new(format!(
        "cannot find the system {}: no program {} on the search path",
        quoted(&list(|system| system.name)),
        quoted(&list(|system| system.program))
    ))
    .with_help(format!(
        "install it (on Debian or Ubuntu: sudo apt-get install {}), or set IOTORCH_REQUIRE to the systems that must be \
         there, separated by commas (empty: none), to have the tests of others ignored",
        list(|system| system.debian_package).join(" ")
    ))
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_system_is_found_by_its_whole_name_or_by_all() {
        assert!(is_named("kubernetes, mosquitto", "mosquitto"));
        assert!(is_named("all", "mosquitto"));
        assert!(!is_named("mosquitto2", "mosquitto"));
        assert!(!is_named("", "mosquitto"));
    }

    #[test]
    fn a_system_that_cannot_be_installed_is_named_with_its_package() {
        let failure = cannot_provide(&[&SYSTEMS[0]]);
        assert_eq!(
            failure.to_string(),
            "cannot find the system \"mosquitto\": no program \"mosquitto_pub\" on the search path"
        );
        assert!(failure.help().unwrap().contains("sudo apt-get install mosquitto-clients"));
    }
}
