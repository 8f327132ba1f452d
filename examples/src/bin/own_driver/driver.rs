//! The driver: what is known of such gateways without looking at one.

use std::{path::Path, sync::Arc, time::Duration};

use iotorch_core::{
    Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Result, Serves, Target,
    model::DriverName,
    resource::{KindName, Role, Spec},
};

use crate::{domain::FilesDomain, folder::Folder};

/// The driver `files` of one gateway's folder.
#[derive(Clone, Debug)]
pub(crate) struct FilesDriver {
    folder: Folder,
}

impl FilesDriver {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: Folder::new(folder) }
    }
}

impl Driver for FilesDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: DriverName::new("files").expect("a name in this program follows the rules for names"),
            serves: Serves::Applications(vec![Role::Gateway]),
            kinds: vec![KindName::Application, KindName::Profile, KindName::Device],
            settings_schema: serde_json::json!({ "type": "object", "maxProperties": 0 }),
            settings_format: 1,
            batch_limits: [(KindName::Profile, 50), (KindName::Device, 50)].into(),
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Application(application) if application.external.is_none() => {
                vec![
                    Issue::new("/external", "a gateway of the driver \"files\" runs outside of iotorch")
                        .with_help("say so: external: { endpoints: {}, credentials: NAME }"),
                ]
            }
            Spec::Device(device) => {
                let setting = device.settings.keys().next();
                let fault =
                    |name: &String| Issue::new(format!("/settings/{name}"), "a device has no settings");
                setting.map(fault).into_iter().collect()
            }
            Spec::Application(_) | Spec::Profile(_) => Vec::new(),
            other => vec![Issue::new("", format!("the driver \"files\" cannot make a {}", other.kind()))],
        }
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::External => Ok(Arc::new(FilesDomain::new(self.folder.clone()))),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                "cannot use the driver \"files\" for what runs inside of iotorch",
            )),
        }
    }
}
