//! What a driver says before it is connected to anything, and what the fixture says of it.

use std::collections::BTreeSet;

use super::{Ability, stage::Stage};
use crate::{
    driver::Verdict,
    model::{Capacity, DeviceProtocol, Labels, PartName, Settings},
    resource::{
        ApplicationSpec, AttachmentSpec, CredentialSpec, DeviceSpec, ExportSpec, ExportTarget, KindName,
        Layer, PortSpec, ProfileSpec, ResourceId, Role, SegmentSpec, SpaceSpec, Spec, TenantSpec,
        WorkloadSpec,
    },
    secret::SecretRef,
    testing::{Failure, Outcome, ensure},
};

pub(super) async fn what_is_declared_fits_the_samples(stage: &mut Stage) -> Outcome {
    let info = stage.driver.info();
    ensure!(!info.kinds.is_empty(), "the driver handles no kind");
    let kinds: BTreeSet<_> = info.kinds.iter().copied().collect();
    let tried: BTreeSet<_> = stage.samples.iter().map(|sample| sample.id.kind()).collect();
    ensure!(kinds == tried, "the driver handles {kinds:?}, and there are samples of {tried:?}");
    let mut before: BTreeSet<&ResourceId> = BTreeSet::new();
    for sample in &*stage.samples {
        ensure!(
            sample.spec.kind() == sample.id.kind(),
            "\"{}\" has the specification of another kind",
            sample.id
        );
        let needs = sample.id.host().into_iter().chain(sample.uses.iter().cloned());
        let samples: Vec<_> = stage.samples.iter().map(|sample| &sample.id).collect();
        for needed in needs.filter(|id| samples.contains(&id)) {
            ensure!(before.contains(&needed), "\"{}\" comes before \"{needed}\", which it needs", sample.id);
        }
        ensure!(before.insert(&sample.id), "there are two samples \"{}\"", sample.id);
    }
    let groups = stage.groups();
    let any = |test: &dyn Fn(&super::Sample) -> bool| stage.samples.iter().any(test);
    let shown = [
        (Ability::Update, any(&|sample| sample.updated.is_some())),
        (Ability::Contents, !stage.hosts().is_empty()),
        (Ability::Marks, any(&|sample| sample.marked)),
        (Ability::Refusal, any(&|sample| sample.wrong.is_some())),
        (Ability::Siblings, !groups.is_empty()),
    ];
    for (ability, shown) in shown {
        ensure!(
            shown || stage.lacks(ability),
            "no sample lets {ability:?} be tried, and it is not declared as lacking"
        );
        ensure!(
            !shown || !stage.lacks(ability),
            "{ability:?} is declared as lacking, and there are samples for it"
        );
    }
    let batches = groups.iter().any(|group| group.first().is_some_and(|id| info.batch_limit(id.kind()) > 1));
    ensure!(
        batches != stage.lacks(Ability::Batch),
        "Batch has to be declared as lacking where no kind with two samples takes two steps in a call, and only there"
    );
    Ok(())
}

pub(super) async fn check_accepts_what_is_right_and_finds_what_is_wrong(stage: &mut Stage) -> Outcome {
    let driver = &stage.driver;
    for sample in &*stage.samples {
        for right in
            [Some(&sample.spec), sample.updated.as_ref(), sample.wrong.as_ref()].into_iter().flatten()
        {
            let issues = driver.check(right);
            ensure!(issues.is_empty(), "check finds fault with \"{}\": {issues:?}", sample.id);
        }
        for faulty in &sample.faulty {
            let issues = driver.check(faulty);
            ensure!(!issues.is_empty(), "check finds no fault with \"{}\": {faulty:?}", sample.id);
            for issue in issues {
                ensure!(
                    issue.pointer.is_empty() || issue.pointer.starts_with('/'),
                    "{:?} is no JSON pointer",
                    issue.pointer
                );
                ensure!(
                    !issue.message.is_empty() && !issue.message.ends_with('.'),
                    "a fault reads without a full stop: {:?}",
                    issue.message
                );
            }
        }
    }
    let kinds = driver.info().kinds;
    for spec in one_of_each_kind()?.iter().filter(|spec| !kinds.contains(&spec.kind())) {
        ensure!(
            !driver.check(spec).is_empty(),
            "check finds no fault with a {}, which the driver does not handle",
            spec.kind()
        );
    }
    Ok(())
}

pub(super) async fn a_specification_is_the_same_as_itself_and_an_update_is_one(stage: &mut Stage) -> Outcome {
    for sample in &*stage.samples {
        let (id, spec) = (&sample.id, &sample.spec);
        let verdict = stage.driver.compare(spec, spec);
        ensure!(verdict == Verdict::Same, "\"{id}\" compared with itself is {verdict:?}");
        let Some(updated) = &sample.updated else { continue };
        for (have, want) in [(spec, updated), (updated, spec)] {
            let verdict = stage.driver.compare(have, want);
            ensure!(verdict == Verdict::Update, "the update of \"{id}\", or taking it back, is {verdict:?}");
        }
    }
    Ok(())
}

fn one_of_each_kind() -> Result<Vec<Spec>, Failure> {
    let (part, secret) = (PartName::new("part")?, SecretRef::new("secret", 1)?);
    let (name, settings) = ("part".to_owned(), Settings::new());
    let specs: Vec<Spec> = vec![
        SpaceSpec { name: name.clone(), quota: Capacity::default() }.into(),
        SegmentSpec {
            layer: Layer::Transport,
            snssai: None,
            endpoints: Vec::new(),
            bandwidth: None,
            objectives: Default::default(),
            on_unenforced: Default::default(),
            settings: settings.clone(),
        }
        .into(),
        WorkloadSpec {
            name: name.clone(),
            role: Role::Function,
            application: None,
            chart: None,
            physical: None,
            needs: Capacity::default(),
            settings: settings.clone(),
            admin: None,
        }
        .into(),
        PortSpec { part, binding: None, snssai: None }.into(),
        ApplicationSpec {
            name: name.clone(),
            role: Role::Gateway,
            application: "part".parse()?,
            external: None,
            admin: secret.clone(),
            settings: settings.clone(),
        }
        .into(),
        TenantSpec::new(name.clone(), secret.clone()).into(),
        AttachmentSpec::new(name.clone()).into(),
        CredentialSpec { generation: 1, secret }.into(),
        ProfileSpec { name: name.clone(), resources: Vec::new() }.into(),
        DeviceSpec {
            name: name.clone(),
            protocol: DeviceProtocol::Mqtt,
            profile: name.clone(),
            labels: Labels::new(),
            settings,
        }
        .into(),
        ExportSpec { name, target: ExportTarget::Server }.into(),
    ];
    ensure!(specs.len() == KindName::ALL.len(), "the suite does not know every kind");
    Ok(specs)
}
