//! A stored document is read, changed, planned and applied, with nobody's change in between undone unseen.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
};

use iotorch_core::{
    Error, ErrorKind, Intent,
    model::{Documents, PartName, Problems, Slice, SliceName},
    plan::Plan,
};

use super::part::{self, Part};
use crate::{
    cli::Setting,
    commands::{
        apply::{Policy, apply},
        delete,
    },
    exit::Exit,
    failure::{Failure, Result, cannot},
    installation::Session,
};

/// The file in the state directory that edits take turns by.
const TURNS: &str = "edit.lock";

/// An edit: while it lives, no other process begins one on the same state.
pub(in crate::commands) struct Edit<'a> {
    doing: String,
    session: &'a Session,
    setting: &'a Setting,
    policy: Policy,
    _turn: File,
}

impl<'a> Edit<'a> {
    /// Begins to do something, called as in `create server "hub"`, once it is its turn.
    pub(in crate::commands) async fn begin(
        doing: String,
        session: &'a Session,
        setting: &'a Setting,
        policy: Policy,
    ) -> Result<Self> {
        let turn = turn(setting, &doing).await?;
        Ok(Self { doing, session, setting, policy, _turn: turn })
    }

    /// Changes the document of a slice.
    pub(super) async fn slice(
        &self,
        name: &SliceName,
        change: impl Fn(&mut Slice) -> Result<()>,
    ) -> Result<Exit> {
        let plan = self.planned(name, change).await?;
        self.apply(plan).await
    }

    /// Takes something out of the document of a slice, once a person who can be asked has said yes.
    pub(super) async fn take_out(
        &self,
        name: &SliceName,
        yes: bool,
        change: impl Fn(&mut Slice) -> Result<()>,
    ) -> Result<Exit> {
        let plan = self.planned(name, change).await?;
        delete::confirm(self.session, self.setting, plan, yes, self.policy).await
    }

    /// Adds documents that are new.
    pub(super) async fn add(&self, intent: &Intent) -> Result<Exit> {
        let plan = self.plan(intent).await?;
        self.apply(plan).await
    }

    /// The document of a slice as it was applied last.
    pub(super) async fn document(&self, name: &SliceName) -> Result<Slice> {
        let orchestrator = self.session.orchestrator();
        if let Some(document) = orchestrator.document(name).await? {
            return Ok(document);
        }
        let known = orchestrator.slices().await?;
        if !known.contains(name) {
            return Err(part::no_such(name, &known, &self.doing).into());
        }
        let what = format!("cannot {}: slice \"{name}\" has no document yet", self.doing);
        Err(Error::new(ErrorKind::Conflict, what)
            .with_help("its first run is open: iotorch runs --open lists it, iotorch resume ends it")
            .into())
    }

    /// The slice that has the part `name`.
    pub(super) async fn slice_of<P: Part>(
        &self,
        name: &PartName,
        slice: Option<&SliceName>,
    ) -> Result<Slice> {
        part::slice_of::<P>(self.session.orchestrator(), name, slice, &self.doing).await
    }

    /// The error of what stands in the way, with a further way out.
    pub(in crate::commands) fn refusal(&self, why: Error, way: &str) -> Error {
        let cause = why.to_cause();
        let help = why.help().map(|help| format!("{help}\n{way}")).unwrap_or_else(|| way.to_owned());
        let root = Error::new(cause.kind, cause.root());
        Error::new(cause.kind, format!("cannot {}", self.doing)).with_help(help).with_source(root)
    }

    /// Nothing: the name is taken.
    pub(in crate::commands) fn taken<T>(&self, help: impl Into<String>) -> Result<T> {
        let what = format!("cannot {}: there is one of that name already", self.doing);
        Err(Error::new(ErrorKind::Conflict, what).with_help(help).into())
    }

    async fn planned(&self, name: &SliceName, change: impl Fn(&mut Slice) -> Result<()>) -> Result<Plan> {
        loop {
            let stored = self.document(name).await?;
            let mut changed = stored.clone();
            change(&mut changed)?;
            let plan = self.plan(&Intent { slices: vec![changed], ..Intent::default() }).await?;
            // What somebody applied in between would be taken back by this plan.
            if self.session.orchestrator().document(name).await? == Some(stored) {
                return Ok(plan);
            }
        }
    }

    /// What documents that no person has written would do.
    pub(in crate::commands) async fn plan(&self, intent: &Intent) -> Result<Plan> {
        let checked = match Documents::from_parts(&intent.infrastructures, &intent.slices) {
            Ok(documents) => self.session.check(&documents).await,
            Err(problems) => Err(problems.into()),
        };
        checked.map_err(|failure| match failure {
            Failure::Problems(problems) => self.refused(&problems).into(),
            other => other,
        })?;
        Ok(self.session.orchestrator().plan(intent).await?)
    }

    /// Faults of a document that no person has written, without their places in it.
    fn refused(&self, problems: &Problems) -> Error {
        let faults: Vec<&str> = problems.iter().map(|problem| problem.message()).collect();
        let error = Error::new(ErrorKind::Invalid, format!("cannot {}: {}", self.doing, faults.join("; ")));
        match problems.iter().find_map(|problem| problem.help()) {
            Some(help) => error.with_help(help),
            None => error,
        }
    }

    /// Applies a plan, after a line that sums it up.
    pub(in crate::commands) async fn apply(&self, plan: Plan) -> Result<Exit> {
        if plan.slices.iter().any(|slice| !slice.steps.is_empty()) {
            self.setting.screen.note(plan.summary());
        }
        apply(self.session, self.setting, plan, self.policy, None).await
    }
}

async fn turn(setting: &Setting, doing: &str) -> Result<File> {
    let path = setting.state()?.join(TURNS);
    let waiting = tokio::task::spawn_blocking(move || {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        lock.lock().map(|()| lock)
    });
    let locked = waiting
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot {doing}")).with_source(error))?;
    Ok(locked.map_err(|error| cannot(doing, error))?)
}
