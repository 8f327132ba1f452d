//! The domain: looks at the folder, and brings files to what is wanted.

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Error, ErrorKind, Health, Mark, Observed, Result, Scope,
    resource::{
        ApplicationOutputs, DeviceOutputs, KindName, Outputs, Ownership, ProfileOutputs, ResourceId, Spec,
        Work,
    },
    secret::SecretRef,
};

use crate::folder::{Folder, Object};

pub(crate) struct FilesDomain {
    folder: Folder,
}

/// The file of a resource. The folder is shared, so its name begins with the slice's.
fn file_of(id: &ResourceId) -> Result<String> {
    match id.kind() {
        KindName::Profile => Ok(format!("profiles/{}.{}.json", id.slice(), id.name())),
        KindName::Device => Ok(format!("devices/{}.{}.json", id.slice(), id.name())),
        kind => Err(Error::new(ErrorKind::Unsupported, format!("cannot keep a {kind} in a file"))),
    }
}

fn outputs_of(spec: &Spec) -> Result<Outputs> {
    match spec {
        Spec::Profile(profile) => Ok(ProfileOutputs { name: profile.name.clone() }.into()),
        Spec::Device(device) => {
            let path = Some(format!("readings/{}", device.name));
            Ok(DeviceOutputs { name: device.name.clone(), endpoint: None, path, commands: None }.into())
        }
        Spec::Application(application) => Ok(software(&application.admin)),
        other => Err(Error::new(ErrorKind::Unsupported, format!("cannot keep a {} in a file", other.kind()))),
    }
}

fn software(admin: &SecretRef) -> Outputs {
    ApplicationOutputs { version: "files 1".into(), endpoints: Default::default(), admin: admin.clone() }
        .into()
}

fn whose(object: &Object) -> String {
    object.mark.clone().unwrap_or_else(|| "nobody (no mark)".to_owned())
}

impl FilesDomain {
    pub(crate) const fn new(folder: Folder) -> Self {
        Self { folder }
    }

    fn look(&self, cx: &Context, id: &ResourceId) -> Result<Observed> {
        let Some(object) = self.folder.read(&file_of(id)?)? else { return Ok(Observed::Absent) };
        if object.mark != Some(cx.mark(id).to_string()) {
            return Ok(Observed::Foreign { owner: whose(&object), spec: Some(object.spec) });
        }
        let outputs = outputs_of(&object.spec)?;
        Ok(Observed::Present { spec: object.spec, outputs, health: Health::Ready })
    }

    fn step(&self, cx: &Context, work: &Work) -> Result<Outputs> {
        let (id, change, ownership) = (work.id(), work.change(), work.ownership());
        let removed = Outputs::Removed { residue: Vec::new() };
        if id.kind() == KindName::Application {
            // Somebody else runs the gateway: all there is to do is to see that its folder is there.
            let Some(after) = change.after() else { return Ok(removed) };
            self.folder.reach()?;
            return outputs_of(after);
        }
        let (name, mark) = (file_of(id)?, Some(cx.mark(id).to_string()));
        let found = self.folder.read(&name)?;
        let foreign = found.filter(|object| object.mark != mark);
        match (foreign, ownership) {
            (Some(object), Ownership::Ours) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("cannot change \"{name}\": it belongs to {}", whose(&object)),
                ));
            }
            // It was given back before.
            (Some(object), Ownership::Release) => return outputs_of(&object.spec),
            _ => {}
        }
        let Some(after) = change.after() else {
            self.folder.remove(&name)?;
            return Ok(removed);
        };
        if let Spec::Device(device) = after
            && self.folder.read(&format!("profiles/{}.json", device.profile))?.is_none()
        {
            return Err(Error::new(ErrorKind::Invalid, format!("cannot write \"{name}\""))
                .with_source(format!("there is no profile \"{}\"", device.profile)));
        }
        let mark = mark.filter(|_| ownership != Ownership::Release);
        self.folder.write(&name, &Object { mark, spec: after.clone() })?;
        outputs_of(after)
    }

    /// The objects of this slice that bear our mark and that core does not know.
    fn strays(&self, cx: &Context, scope: &Scope) -> Result<Vec<ResourceId>> {
        let mut strays = Vec::new();
        for name in self.folder.names()? {
            let marked = self.folder.read(&name)?.and_then(|object| Mark::parse(&object.mark?));
            let Some(mark) = marked.filter(|mark| mark.installation == cx.installation) else { continue };
            let is_here = mark.resource.scope() == scope.root && file_of(&mark.resource)? == name;
            if is_here && !scope.known.contains(&mark.resource) {
                strays.push(mark.resource);
            }
        }
        Ok(strays)
    }
}

#[async_trait]
impl Domain for FilesDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        self.folder.reach()?;
        let mut seen = Vec::with_capacity(scope.known.len());
        for id in scope.known.iter().filter(|id| **id != scope.root) {
            seen.push((id.clone(), self.look(cx, id)?));
        }
        for id in self.strays(cx, scope)? {
            let found = self.look(cx, &id)?;
            seen.push((id, found));
        }
        let gateway = match (scope.recorded.get(&scope.root), &scope.application) {
            (Some(spec), Some(application)) => Observed::Present {
                spec: Spec::clone(spec),
                outputs: software(&application.admin),
                health: Health::Ready,
            },
            _ => Observed::Absent,
        };
        seen.push((scope.root.clone(), gateway));
        Ok(seen)
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        batch.iter().map(|work| self.step(cx, work)).collect()
    }

    async fn is_quiescent(&self, _: &Context, _: &ResourceId) -> bool {
        // A call does all its work before it is first suspended: what a dead process began has ended with it.
        true
    }
}
