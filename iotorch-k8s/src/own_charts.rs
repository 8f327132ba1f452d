//! The charts that come with iotorch, which are in the program.

use std::path::{Path, PathBuf};

use iotorch_core::{
    Issue,
    model::{DriverName, Settings},
    resource::Role,
};
use iotorch_helm::chart::Digest;
use serde_json::{Value, json};

use crate::{charts::merge, config::KubernetesConfig};

/// A chart that comes with iotorch.
#[derive(Debug)]
pub(crate) struct OwnChart {
    pub(crate) name: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! chart {
    ($chart:literal: $($file:literal),+ $(,)?) => {
        OwnChart { name: $chart, files: &[$(($file, include_str!(concat!("../charts/", $chart, "/", $file)))),+] }
    };
}

const GATEWAY: &OwnChart = &chart!(
    "iotorch-gateway": "Chart.yaml", "values.yaml", "values.schema.json", "templates/_names.tpl", "templates/NOTES.txt",
    "templates/services.yaml", "templates/settings.yaml", "templates/statefulset.yaml", "templates/volume.yaml",
);
const SERVER: &OwnChart = &chart!(
    "iotorch-server": "Chart.yaml", "values.yaml", "values.schema.json", "templates/_names.tpl", "templates/NOTES.txt",
    "templates/services.yaml", "templates/settings.yaml", "templates/statefulset.yaml", "templates/volume.yaml",
);
const EDGEX: &OwnChart = &chart!(
    "edgex": "Chart.yaml", "values.yaml", "values.schema.json", "templates/_names.tpl", "templates/NOTES.txt",
    "templates/_part.tpl", "templates/_pod.tpl", "templates/_service.tpl", "templates/_objects.tpl", "templates/parts.yaml",
    "templates/_parts.tpl", "templates/_edgex.tpl", "templates/_broker.tpl",
);
const MAINFLUX: &OwnChart = &chart!(
    "mainflux": "Chart.yaml", "values.yaml", "values.schema.json", "templates/_names.tpl", "templates/NOTES.txt",
    "templates/_part.tpl", "templates/_pod.tpl", "templates/_service.tpl", "templates/_objects.tpl", "templates/parts.yaml",
    "templates/_parts.tpl", "templates/_mainflux-0.12.tpl", "templates/_supermq.tpl", "templates/_magistrala.tpl",
);

/// What to do about an application that has no chart here.
pub(crate) const HELP: &str = "gateways of the applications \"lite\" and \"edgex\" and servers of \"lite\" and \"mainflux\" have charts that \
    come with iotorch; for others add \"chart\"";

/// The chart of an application in a role, if one comes with iotorch.
pub(crate) fn of(application: Option<&DriverName>, role: Role) -> Option<&'static OwnChart> {
    match (application?.as_str(), role) {
        ("lite", Role::Server) => Some(SERVER),
        ("lite", Role::Gateway | Role::Function) => Some(GATEWAY),
        ("edgex", Role::Gateway) => Some(EDGEX),
        ("mainflux", Role::Server) => Some(MAINFLUX),
        _ => None,
    }
}

/// Whether the services of an application have a secret among themselves, beside that by which it is managed.
pub(crate) fn has_inner_secret(application: Option<&DriverName>) -> bool {
    application.is_some_and(|application| application.as_str() != "lite")
}

/// The releases that the chart of `mainflux` has, as far as their numbers count.
const RELEASES: [&str; 3] = ["0.12", "0.19", "0.30"];

/// The device services that the chart of `edgex` has.
const DEVICE_SERVICES: [&str; 3] = ["device-mqtt", "device-rest", "device-coap"];

impl OwnChart {
    /// What it cannot deploy of what the settings of its application ask for, with a pointer into these.
    pub(crate) fn check(&self, settings: &Settings) -> Vec<Issue> {
        match self.name {
            "edgex" => {
                let services = settings.get("deviceServices").and_then(Value::as_array).into_iter().flatten();
                let unknown = services
                    .enumerate()
                    .filter(|(_, name)| name.as_str().is_some_and(|name| !DEVICE_SERVICES.contains(&name)));
                let issue = |(index, name): (usize, &Value)| {
                    Issue::new(
                        format!("/deviceServices/{index}"),
                        format!("the chart \"edgex\" has no device service {name}"),
                    )
                    .with_help("it has \"device-mqtt\", \"device-rest\" and \"device-coap\"; for others add \"chart\"")
                };
                unknown.map(issue).collect()
            }
            "mainflux" => {
                let release = settings.get("release").and_then(Value::as_str);
                let is_there = |release: &str| {
                    let release = release.trim_start_matches('v');
                    RELEASES.iter().any(|known| {
                        release
                            .strip_prefix(known)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                    })
                };
                let unknown = release.filter(|release| !is_there(release));
                let issue = |release: &str| {
                    let message = format!("the chart \"mainflux\" has no release \"{release}\"");
                    Issue::new("/release", message).with_help(
                        "it has Mainflux 0.12, SuperMQ 0.19 and Magistrala 0.30; for others add \"chart\"",
                    )
                };
                unknown.map(issue).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The values that a cluster's settings have for it.
    pub(crate) fn values(&self, config: &KubernetesConfig) -> Settings {
        match self.name {
            "edgex" => {
                let mut values = Settings::new();
                // Its bridge is of the image of `lite`.
                if let Some(image) = config.lite.get("image") {
                    values.insert("components".to_owned(), json!({ "bridge": { "image": image } }));
                }
                merge(&mut values, config.edgex.clone());
                values
            }
            "mainflux" => config.mainflux.clone(),
            _ => config.lite.clone(),
        }
    }

    /// Gives the folder in `own` with exactly its files. It is named by them and appears whole, however many lay it out at once.
    pub(crate) fn lay_out(&self, own: &Path) -> std::io::Result<PathBuf> {
        let all: Vec<u8> = self
            .files
            .iter()
            .flat_map(|(file, content)| [*file, "\0", *content, "\0"].concat().into_bytes())
            .collect();
        let digest = Digest::of(&all);
        let folder = own.join(format!("{}-{}", self.name, digest.as_str().trim_start_matches("sha256:")));
        if folder.is_dir() {
            return Ok(folder);
        }
        std::fs::create_dir_all(own)?;
        let coming = tempfile::tempdir_in(own)?;
        std::fs::create_dir(coming.path().join("templates"))?;
        for (file, content) in self.files {
            std::fs::write(coming.path().join(file), content)?;
        }
        match std::fs::rename(coming.path(), &folder) {
            Err(error) if !folder.is_dir() => Err(error),
            // Whoever was quicker has laid out the same.
            _ => Ok(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&OwnChart; 4] = [GATEWAY, SERVER, EDGEX, MAINFLUX];

    fn object(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_chart_is_laid_out_whole_by_many_at_once() {
        let own = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = GATEWAY.lay_out(own.path()).unwrap();
                    for (file, content) in GATEWAY.files {
                        assert_eq!(std::fs::read_to_string(folder.join(file)).unwrap(), *content);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(own.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_file_of_our_charts_is_in_the_program() {
        for chart in ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts").join(chart.name);
            let mut there = Vec::new();
            for folder in [folder.clone(), folder.join("templates")] {
                for entry in std::fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() && !path.ends_with(".helmignore") {
                        there.push(path);
                    }
                }
            }
            let mut packed: Vec<_> = chart.files.iter().map(|(file, _)| folder.join(file)).collect();
            there.sort();
            packed.sort();
            assert_eq!(there, packed);
        }
    }

    #[test]
    fn an_application_has_its_chart_only_in_the_role_that_it_plays() {
        let name =
            |application: &str, role| of(Some(&application.parse().unwrap()), role).map(|chart| chart.name);
        assert_eq!(name("lite", Role::Server), Some("iotorch-server"));
        assert_eq!(name("lite", Role::Gateway), Some("iotorch-gateway"));
        assert_eq!(name("edgex", Role::Gateway), Some("edgex"));
        assert_eq!(name("mainflux", Role::Server), Some("mainflux"));
        assert_eq!(name("edgex", Role::Server), None);
        assert_eq!(name("mainflux", Role::Gateway), None);
        assert!(of(None, Role::Function).is_none());
    }

    #[test]
    fn what_a_chart_cannot_deploy_is_told_before_anything_is_made() {
        let faults = |chart: &OwnChart, settings| {
            let issues = chart.check(&object(settings));
            issues.iter().map(|issue| format!("{}: {}", issue.pointer, issue.message)).collect::<Vec<_>>()
        };
        for release in ["0.12.1", "v0.19", "0.30.0"] {
            assert!(faults(MAINFLUX, json!({ "release": release })).is_empty(), "{release}");
        }
        assert_eq!(
            faults(MAINFLUX, json!({ "release": "0.13.0" })),
            ["/release: the chart \"mainflux\" has no release \"0.13.0\""]
        );
        assert!(!faults(MAINFLUX, json!({ "release": "0.120" })).is_empty());
        assert_eq!(
            faults(EDGEX, json!({ "deviceServices": ["device-rest", "device-modbus"] })),
            ["/deviceServices/1: the chart \"edgex\" has no device service \"device-modbus\""]
        );
        assert!(faults(SERVER, json!({ "release": "1" })).is_empty());
    }

    #[test]
    fn charts_of_many_parts_make_them_by_the_same_templates() {
        let shared = |chart: &OwnChart| -> Vec<_> {
            let names = [
                "templates/_part.tpl",
                "templates/_pod.tpl",
                "templates/_service.tpl",
                "templates/_objects.tpl",
                "templates/parts.yaml",
            ];
            chart.files.iter().copied().filter(|(name, _)| names.contains(name)).collect()
        };
        assert_eq!(shared(EDGEX).len(), 5);
        assert_eq!(shared(EDGEX), shared(MAINFLUX));
    }

    #[test]
    fn the_bridge_of_edgex_is_of_the_image_of_lite_unless_another_is_named() {
        let mut config = KubernetesConfig {
            lite: object(json!({ "image": { "repository": "registry.example.org/iotorch", "tag": "1" } })),
            edgex: object(json!({ "persistence": { "enabled": false } })),
            ..KubernetesConfig::default()
        };
        let image = |config: &KubernetesConfig| {
            Value::Object(EDGEX.values(config)).pointer("/components/bridge/image/repository").cloned()
        };
        assert_eq!(image(&config), Some(json!("registry.example.org/iotorch")));
        assert_eq!(EDGEX.values(&config)["persistence"], json!({ "enabled": false }));
        config.edgex = object(json!({ "components": { "bridge": { "image": { "repository": "other" } } } }));
        assert_eq!(image(&config), Some(json!("other")));
        assert_eq!(MAINFLUX.values(&config), Settings::new());
    }
}
