//! What is believed of what another system says about secrets.
//!
//! Applications and clusters keep the specification of what was made in them, and whoever manages one can change what it says there. The
//! steps that undo a change are made from what was seen. So a name of a secret is believed only where it is one that the resource has
//! anyway: otherwise a server could name the secret of another, and be sent it.

use crate::{
    domain::Observed,
    error::{Error, ErrorKind, Result},
    resource::{ExportTarget, Outputs, ResourceId, Spec},
    secret::SecretRef,
};

/// Puts right the secrets that `seen` names: a secret that is neither the own one of `id` nor that of `recorded` gives way to that of
/// `recorded`, else to the own one, else to none; what is somebody else's and names one is not described.
pub(super) fn believe(id: &ResourceId, recorded: Option<&Spec>, seen: &mut Observed) -> Result<()> {
    let known = recorded.and_then(Spec::secret);
    let is_strange = |named: &&SecretRef| {
        known.is_none_or(|known| known.name() != named.name())
            && id.own_secret().is_none_or(|own| own != named.name())
    };
    match seen {
        Observed::Absent => {}
        Observed::Foreign { spec, .. } => {
            if spec.as_ref().and_then(Spec::secret).filter(is_strange).is_some() {
                *spec = None;
            }
        }
        Observed::Present { spec, outputs, .. } => {
            if let Some(strange) = spec.secret().filter(is_strange) {
                let own = id.own_secret().and_then(|own| SecretRef::new(&own, strange.version()).ok());
                put(id, spec, known.cloned().or(own))?;
            }
            match (outputs, &*spec) {
                (Outputs::Application(outputs), Spec::Application(spec)) => {
                    outputs.admin.clone_from(&spec.admin)
                }
                (Outputs::Tenant(outputs), Spec::Tenant(spec)) => outputs.secret.clone_from(&spec.secret),
                (Outputs::Credential(outputs), Spec::Credential(spec)) => {
                    outputs.secret.clone_from(&spec.secret)
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Has a specification name `secret`, or none.
fn put(id: &ResourceId, spec: &mut Spec, secret: Option<SecretRef>) -> Result<()> {
    match (spec, secret) {
        (Spec::Workload(workload), secret) => workload.admin = secret,
        (Spec::Application(application), Some(secret)) => application.admin = secret,
        (Spec::Tenant(tenant), Some(secret)) => tenant.secret = secret,
        (Spec::Credential(credential), Some(secret)) => credential.secret = secret,
        (Spec::Export(export), secret) => {
            if let ExportTarget::Sink(sink) = &mut export.target {
                sink.credentials = secret;
            }
        }
        _ => {
            return Err(Error::new(ErrorKind::Unexpected, format!("cannot observe \"{id}\""))
                .with_source("it names a secret that is not its own"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

    use super::*;
    use crate::{
        domain::Health,
        model::Sink,
        resource::{CredentialOutputs, CredentialSpec, ExportOutputs, ExportSpec},
    };
    use serde_json::json;

    const KEY: &str = "s/e/space/hub/app/tenant/attachment/gw/credential/2";
    const EXPORT: &str = "s/external/gw/app/export/archive";

    fn named(name: &str, version: u32) -> SecretRef {
        SecretRef::new(name, version).unwrap()
    }

    fn credential(secret: &SecretRef) -> Spec {
        CredentialSpec { generation: 2, secret: secret.clone() }.into()
    }

    fn export(credentials: Option<&str>) -> Spec {
        let endpoint = json!({ "host": "tsdb", "port": 8086 });
        let sink =
            json!({ "name": "archive", "type": "influxdb", "endpoint": endpoint, "target": "greenhouse" });
        let mut sink: Sink = serde_json::from_value(sink).unwrap();
        sink.credentials = credentials.map(|name| named(name, 1));
        ExportSpec { name: "archive".to_owned(), target: ExportTarget::Sink(sink) }.into()
    }

    fn present(spec: Spec) -> Observed {
        let outputs = match spec.secret() {
            Some(secret) if matches!(spec, Spec::Credential(_)) => {
                CredentialOutputs { user_name: "gw".to_owned(), secret: secret.clone() }.into()
            }
            _ => ExportOutputs { destination: "http tsdb:8086 greenhouse".to_owned() }.into(),
        };
        Observed::Present { spec, outputs, health: Health::Ready }
    }

    fn foreign(spec: Option<Spec>) -> Observed {
        Observed::Foreign { owner: "b2/x".to_owned(), spec }
    }

    fn believed(id: &str, recorded: Option<&Spec>, mut seen: Observed) -> Observed {
        believe(&id.parse().unwrap(), recorded, &mut seen).unwrap();
        seen
    }

    #[test]
    fn a_secret_is_the_own_one_or_the_recorded_one() {
        let own = |version| credential(&named("s/hub/gw/key", version));
        let strange = || present(credential(&named("other/hub/tenant", 7)));
        assert_eq!(believed(KEY, None, present(own(2))), present(own(2)));
        assert_eq!(
            believed(KEY, Some(&own(2)), present(own(3))),
            present(own(3)),
            "a change of the version shows"
        );
        assert_eq!(believed(KEY, Some(&own(2)), strange()), present(own(2)));
        assert_eq!(believed(KEY, None, strange()), present(own(7)));
    }

    #[test]
    fn a_secret_of_the_users_choosing_is_the_recorded_one() {
        let recorded = export(Some("archive"));
        let seen = |credentials| present(export(credentials));
        assert_eq!(believed(EXPORT, Some(&recorded), seen(Some("archive"))), seen(Some("archive")));
        assert_eq!(believed(EXPORT, Some(&recorded), seen(Some("other"))), seen(Some("archive")));
        assert_eq!(
            believed(EXPORT, Some(&recorded), seen(None)),
            seen(None),
            "that it has none any more shows"
        );
        assert_eq!(believed(EXPORT, Some(&export(None)), seen(Some("other"))), seen(None));
        assert_eq!(believed(EXPORT, None, seen(Some("other"))), seen(None));
    }

    #[test]
    fn what_is_somebody_elses_can_only_name_what_it_has() {
        let own = Some(credential(&named("s/hub/gw/key", 1)));
        assert_eq!(believed(KEY, None, foreign(own.clone())), foreign(own));
        assert_eq!(believed(KEY, None, foreign(Some(credential(&named("other", 1))))), foreign(None));
        assert_eq!(believed(EXPORT, None, foreign(Some(export(Some("other"))))), foreign(None));
        assert_eq!(believed(EXPORT, None, foreign(Some(export(None)))), foreign(Some(export(None))));
    }

    #[test]
    fn what_an_application_tells_has_the_secret_of_its_specification() {
        let spec = credential(&named("s/hub/gw/key", 1));
        let told = CredentialOutputs { user_name: "gw".to_owned(), secret: named("other", 1) };
        let seen = Observed::Present { spec: spec.clone(), outputs: told.into(), health: Health::Ready };
        assert_eq!(believed(KEY, None, seen), present(spec));
    }
}
