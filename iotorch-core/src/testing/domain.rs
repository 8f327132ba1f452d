//! What every [`Driver`] and its [`Domain`](crate::Domain) have to do.
//!
//! The trials call a domain as core does: with inputs collected from the outputs of what was made before, with the records of what was made,
//! again while it says [`ErrorKind::NotReady`], and with contexts of two installations, of which one is foreign to the other. Whoever writes
//! a domain gives a [`Subject`], which is a fresh system to work on, and says which [`Ability`] the domain lacks. Trials of
//! abilities that it lacks are not in the list; the first trial fails when what is said does not fit the samples.
//!
//! Besides what its name says, every trial fails when a secret shows in what the domain gives back, when an error does not
//! read `cannot <verb> <noun>`, and when an observation leaves out a known id or has one that is not of its scope.

mod calls;
mod declaration;
mod judging;
mod making;
mod observing;
mod ownership;
mod sample;
mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures::future::BoxFuture;

pub use self::sample::Sample;
use self::stage::Stage;
use super::Trial;
use crate::{
    driver::{Driver, Target},
    error::{Error, ErrorKind, Result},
    place::Places,
    resource::{Outputs, ResourceId},
    secret::SecretStore,
};

/// Something that most domains can do and some cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// To change a resource in place ([`Sample::updated_to`]).
    Update,
    /// To have resources that live in others of the same domain.
    Contents,
    /// To mark objects, so that those of somebody else can be told (all but [`Sample::unmarked`]).
    Marks,
    /// To tell what a foreign object is like, and so to take it over and give it back.
    Adoption,
    /// To find marked objects that core does not know.
    Strays,
    /// To refuse what only the other system can find wrong ([`Sample::refused_as`]).
    Refusal,
    /// To have two resources of one kind side by side in one place.
    Siblings,
    /// To take several resources of one kind in one call.
    Batch,
    /// To be out of reach ([`Subject::cut_off`]).
    Outage,
}

/// A fresh system, and all that is needed to work on it: each trial has its own.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The driver.
    fn driver(&self) -> Arc<dyn Driver>;

    /// What it is connected to.
    fn target(&self) -> Target;

    /// What trials make, in an order in which each finds its host and what it uses: at least one resource of every kind that
    /// the driver handles. Two of one kind in one place let batches be tried.
    fn samples(&self) -> Vec<Sample>;

    /// The secrets that the samples name, with values of at least six characters that occur nowhere else.
    fn secrets(&self) -> Arc<dyn SecretStore>;

    /// The places that endpoints lead to.
    fn places(&self) -> Places {
        Places::default()
    }

    /// The outputs of what other drivers make, as far as samples live in it or use it.
    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        BTreeMap::new()
    }

    /// Puts the system out of reach. Called only where the domain does not lack [`Ability::Outage`].
    ///
    /// # Errors
    /// Whatever keeps it from that.
    async fn cut_off(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "cannot put this system out of reach"))
    }

    /// Brings the system back as it was. The trial connects anew.
    ///
    /// # Errors
    /// Whatever keeps it from that.
    async fn bring_back(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "cannot bring this system back"))
    }

    /// Ends the system when the trial is over, also when it failed.
    async fn end(&self) {}
}

/// The trials of a domain that lacks some abilities. `make` gives a fresh system each time.
///
/// They need a runtime with time; it may be paused.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use iotorch_core::{
///     Driver, Result, Target,
///     resource::{ResourceId, SpaceSpec},
///     secret::{MemorySecretStore, SecretStore},
///     sim::{SimDriver, World, sim_infrastructure},
///     testing::{self, Failures, domain::{Ability, Sample, Subject}},
/// };
///
/// struct Spaces(World);
///
/// #[async_trait]
/// impl Subject for Spaces {
///     fn driver(&self) -> Arc<dyn Driver> {
///         let driver = SimDriver::infrastructure(&self.0, &"sim".parse().unwrap());
///         Arc::new(driver.without(iotorch_core::resource::KindName::Workload))
///     }
///
///     fn target(&self) -> Target {
///         Target::Infrastructure(sim_infrastructure("edge-1"))
///     }
///
///     fn samples(&self) -> Vec<Sample> {
///         let id = ResourceId::space(&"greenhouse".parse().unwrap(), &"edge-1".parse().unwrap());
///         vec![Sample::new(id, SpaceSpec { name: "greenhouse".into(), quota: Default::default() })]
///     }
///
///     fn secrets(&self) -> Arc<dyn SecretStore> {
///         Arc::new(MemorySecretStore::default())
///     }
/// }
///
/// async fn spaces_behave() -> Result<(), Failures> {
///     use Ability::*;
///     let lacks = [Update, Contents, Strays, Refusal, Siblings, Batch, Outage];
///     let make = || Box::pin(async { Ok(Box::new(Spaces(World::new())) as Box<dyn Subject>) }) as _;
///     testing::run(testing::domain::trials(lacks, make)).await
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(spaces_behave()).unwrap();
/// ```
pub fn trials(
    lacks: impl IntoIterator<Item = Ability>,
    make: impl Fn() -> BoxFuture<'static, Result<Box<dyn Subject>>> + Send + Sync + 'static,
) -> Vec<Trial> {
    use Ability::{Adoption, Batch, Contents, Marks, Outage, Refusal, Siblings, Strays, Update};
    let make = Arc::new(make);
    let lacks: BTreeSet<Ability> = lacks.into_iter().collect();
    let mut trials = Vec::new();
    macro_rules! list {
        ($($module:ident::$body:ident [$($needed:ident)*],)*) => {
            $(if [$($needed),*].iter().all(|needed: &Ability| !lacks.contains(needed)) {
                let (make, lacks) = (Arc::clone(&make), lacks.clone());
                trials.push(Trial::new(stringify!($body).replace('_', " "), move || async move {
                    let mut stage = Stage::open(make().await?, lacks).await?;
                    let outcome = $module::$body(&mut stage).await;
                    stage.close().await;
                    outcome
                }));
            })*
        };
    }
    list! {
        declaration::what_is_declared_fits_the_samples [],
        declaration::check_accepts_what_is_right_and_finds_what_is_wrong [],
        declaration::a_specification_is_the_same_as_itself_and_an_update_is_one [],
        making::what_is_created_is_observed_as_asked [],
        making::a_create_that_is_repeated_gives_the_same_outputs [],
        making::an_update_in_place_is_observed [Update],
        making::a_step_converges_from_another_state_of_the_object [Update],
        making::what_is_deleted_is_absent [],
        making::deleting_again_succeeds [],
        making::what_was_deleted_can_be_made_again [],
        making::a_host_takes_its_contents_along [Contents],
        ownership::a_foreign_object_is_observed_as_foreign_and_refused_with_conflict [Marks],
        ownership::an_object_is_adopted_and_given_back_as_it_was [Marks Adoption],
        observing::every_known_id_is_answered_for [],
        observing::marked_objects_that_nobody_knows_are_found [Strays],
        calls::wrong_input_is_invalid_and_changes_nothing [Refusal],
        calls::a_system_out_of_reach_is_unavailable_and_is_found_as_it_was [Outage],
        calls::a_stop_ends_waits_at_once_and_lets_mutations_finish [],
        calls::calls_at_the_same_time_leave_each_other_alone [Siblings],
        calls::a_batch_gives_one_result_each_in_order [Siblings Batch],
        calls::a_foreign_object_in_a_batch_leaves_the_others_alone [Siblings Batch Marks],
        calls::wrong_input_in_a_batch_leaves_the_others_alone [Siblings Batch Refusal],
        calls::a_missing_secret_is_told_without_showing_others [],
    }
    trials
}
