//! Calls that are repeated, interrupted, or carried out when nobody asks any more: nothing is there twice, and nothing stays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    STEPS, World, delete, fresh,
    wire::{Listing, Person},
};
use futures::FutureExt;
use iotorch_core::{Observed, resource::Outputs};
use iotorch_mainflux_fake::{Asked, Fake, Held, Release};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A future that is given up when it has been polled so often: at every point at which it waits.
struct GivenUp<'a, F> {
    future: Pin<Box<F>>,
    left: &'a mut usize,
}

impl<'a, F: Future> GivenUp<'a, F> {
    fn after(left: &'a mut usize, future: F) -> Self {
        Self { future: Box::pin(future), left }
    }
}

impl<F: Future> Future for GivenUp<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if *self.left == 0 {
            return Poll::Ready(None);
        }
        *self.left -= 1;
        self.future.poll_unpin(cx).map(Some)
    }
}

/// What is in the account when everything is there once.
fn once(world: &World, release: Release) -> Listing {
    let channel = world.attachment_outputs("gw").channel;
    let rules =
        if release == Release::Magistrala030 { vec![format!("iotorch-{channel}")] } else { Vec::new() };
    Listing { things: vec!["greenhouse.gw-1".to_owned()], channels: vec!["greenhouse.gw".to_owned()], rules }
}

/// Everything is there, once, and as it was made.
async fn expect_once(world: &World, release: Release, when: &str) {
    assert_eq!(world.differences().await, [""; 0], "{when}");
    assert_eq!(Person::tenant(world).await.listing().await, once(world, release), "{when}");
    let users = Person::admin(world).await.users().await;
    assert_eq!(users.len(), 2, "{when}: {users:?}");
}

/// Nothing is there but the user, which is used again.
async fn expect_nothing(world: &mut World, when: &str) {
    let users = Person::admin(world).await.users().await;
    assert_eq!(users.len(), 2, "{when}: {users:?}");
    let work = world.tenant_work();
    world.make(work).await;
    assert_eq!(Person::tenant(world).await.listing().await, Listing::default(), "{when}");
    assert_eq!(Person::admin(world).await.users().await, users, "{when}: the user is used again");
}

async fn repeating_changes_nothing(release: Release) {
    let (fake, mut world) = fresh(release).await;
    world.build().await;
    let before = world.made.clone();
    for _ in 0..2 {
        world = world.reopened();
        for made in &before {
            assert_eq!(world.apply(made.work.clone()).await.unwrap(), made.outputs, "{}", made.work.id());
        }
    }
    expect_once(&world, release, "repeated").await;
    let is_creation = |asked: &&Asked| {
        asked.method == "POST" && asked.status == Some(201) && !asked.path.contains("tokens")
    };
    // A user, a channel, a thing; a domain and the connection besides; the rule.
    let expected = match release {
        Release::Mainflux012 | Release::Mainflux013 => 3,
        Release::Magistrala030 => 6,
        _ => 5,
    };
    assert_eq!(fake.asked().iter().filter(is_creation).count(), expected);
}

async fn interrupted_anywhere_everything_is_made_once(release: Release) {
    for polls in 0.. {
        let (_fake, mut world) = fresh(release).await;
        let mut left = polls;
        let mut done = 0;
        while done < STEPS {
            let work = world.step(done);
            let cx = world.cx();
            let call = world.domain.apply(&cx, vec![work.clone()]);
            let Some(mut results) = GivenUp::after(&mut left, call).await else { break };
            let outputs =
                results.remove(0).unwrap_or_else(|error| panic!("{}: {}", work.id(), error.to_cause()));
            world.record(work, outputs);
            done += 1;
        }
        if done == STEPS {
            assert!(polls > STEPS, "nothing was interrupted");
            return;
        }
        world = world.reopened();
        for step in done..STEPS {
            let work = world.step(step);
            world.make(work).await;
        }
        world.look().await.unwrap();
        expect_once(&world, release, &format!("given up after {polls} polls, in step {done}")).await;
    }
}

async fn interrupted_anywhere_everything_is_deleted(release: Release) {
    for polls in 0.. {
        let (_fake, mut world) = fresh(release).await;
        world.build().await;
        let mut left = polls;
        let mut works: Vec<_> = world.made[1..].iter().map(|made| delete(&made.work)).collect();
        let mut residue = Vec::new();
        while let Some(work) = works.last() {
            let cx = world.cx();
            let call = world.domain.apply(&cx, vec![work.clone()]);
            let Some(mut results) = GivenUp::after(&mut left, call).await else { break };
            match results.remove(0) {
                Ok(Outputs::Removed { residue: more }) => residue.extend(more),
                other => panic!("{}: {other:?}", work.id()),
            }
            works.pop();
        }
        let is_done = works.is_empty();
        world = world.reopened();
        while let Some(work) = works.pop() {
            match world.apply(work.clone()).await {
                Ok(Outputs::Removed { residue: more }) => residue.extend(more),
                other => panic!("{}, given up after {polls} polls: {other:?}", work.id()),
            }
        }
        let email = world.tenant_outputs().id;
        assert!(residue.iter().any(|left| left.contains(&email)), "{residue:?}");
        assert_eq!(residue.len(), if release.is_mainflux() { 1 } else { 2 }, "{residue:?}");
        world.made.truncate(1);
        expect_nothing(&mut world, &format!("given up after {polls} polls")).await;
        if is_done {
            assert!(polls > 3, "nothing was interrupted");
            return;
        }
    }
}

/// The requests that make something: which step sends each, and its path.
fn creations(release: Release) -> &'static [(usize, &'static str)] {
    if release.is_mainflux() {
        &[(1, "/users"), (2, "/channels"), (3, "/things")]
    } else if release == Release::Magistrala030 {
        &[(1, "/users"), (1, "/domains"), (2, "D/channels"), (2, "D/rules"), (3, "D/clients")]
    } else {
        &[(1, "/users"), (1, "/domains"), (2, "D/channels"), (3, "D/clients")]
    }
}

/// A request that makes something is slow on its way; its process dies, the next one goes on, and then it arrives.
async fn what_arrives_late_makes_nothing_twice(release: Release) {
    for (step, path) in creations(release).iter().copied() {
        for has_gone_on in [false, true] {
            let (fake, mut world) = fresh(release).await;
            for number in 0..step {
                let work = world.step(number);
                world.make(work).await;
            }
            let work = world.step(step);
            let cx = world.cx();
            let held = hold(&fake, &world, path);
            {
                let call = world.domain.apply(&cx, vec![work.clone()]);
                tokio::select! {
                    results = call => panic!("{path} was not held: {results:?}"),
                    () = held.arrived() => {}
                }
            }
            world = world.reopened();
            let last = if has_gone_on { STEPS } else { step + 1 };
            for number in step..last {
                let work = world.step(number);
                world.make(work).await;
            }
            held.let_go();
            held.done().await;
            world.look().await.unwrap();
            for number in last..STEPS {
                let work = world.step(number);
                world.make(work).await;
            }
            expect_once(&world, release, &format!("POST {path} arrived late")).await;
        }
    }
}

/// Holds the next request that makes something at this path.
fn hold(fake: &Fake, world: &World, path: &str) -> Held {
    // The logins are below the users on SuperMQ, and are let through: there is no such user yet.
    if path == "/users" && !world.place.is_mainflux {
        fake.fail_next("POST", "/users/tokens/issue", 404);
    }
    fake.hold_next("POST", &in_domain(fake, path))
}

/// The path where `D` stands for the domain of the tenant.
fn in_domain(fake: &Fake, path: &str) -> String {
    let Some(rest) = path.strip_prefix('D') else { return path.to_owned() };
    let asked = fake.asked();
    let domain = asked.iter().find_map(|asked| asked.path.strip_prefix("/domains/")).unwrap();
    format!("/{domain}{rest}")
}

/// The answer to a request that makes something is lost; it is repeated.
async fn an_answer_that_is_lost_makes_nothing_twice(release: Release) {
    for (step, path) in creations(release).iter().copied() {
        let (fake, mut world) = fresh(release).await;
        for number in 0..step {
            let work = world.step(number);
            world.make(work).await;
        }
        if path == "/users" && !release.is_mainflux() {
            fake.fail_next("POST", "/users/tokens/issue", 404);
        }
        fake.lose_next_answer("POST", &in_domain(&fake, path));
        let work = world.step(step);
        if let Err(error) = world.apply(work).await {
            assert!(error.is_retryable(), "{path}: {}", error.to_cause());
        }
        for number in step..STEPS {
            let work = world.step(number);
            world.make(work).await;
        }
        expect_once(&world, release, &format!("the answer to POST {path} was lost")).await;
    }
}

/// Something arrives after its resource was deleted: it is found as ours, and is known by nobody.
async fn what_arrives_after_a_delete_is_found(release: Release) {
    let (fake, mut world) = fresh(release).await;
    world.build().await;
    let attachment = world.attachment("gw");
    let credential = attachment.credential(1);
    world.delete(&credential).await;
    let held = hold(&fake, &world, if release.is_mainflux() { "/things" } else { "D/clients" });
    let work = world.step(3);
    let cx = world.cx();
    {
        let call = world.domain.apply(&cx, vec![work.clone()]);
        tokio::select! {
            results = call => panic!("it was not held: {results:?}"),
            () = held.arrived() => {}
        }
    }
    held.let_go();
    held.done().await;
    // Nobody has connected it, so it is no use; the next plan removes it.
    let seen = world.look().await.unwrap();
    assert!(matches!(&seen[&credential], Observed::Present { .. }), "{seen:?}");
    // A delete of the attachment takes it along.
    world.delete(&attachment).await;
    assert_eq!(Person::tenant(&world).await.listing().await, Listing::default());
}

/// A key is chosen, so that a second thing is refused; but the first may have lost it since.
#[tokio::test]
async fn a_thing_that_arrives_late_when_its_key_is_free_again_goes() {
    for looks in [false, true] {
        let release = Release::Mainflux012;
        let (fake, mut world) = fresh(release).await;
        for number in 0..3 {
            let work = world.step(number);
            world.make(work).await;
        }
        let held = hold(&fake, &world, "/things");
        let work = world.step(3);
        {
            let cx = world.cx();
            let call = world.domain.apply(&cx, vec![work.clone()]);
            tokio::select! {
                results = call => panic!("it was not held: {results:?}"),
                () = held.arrived() => {}
            }
        }
        let outputs = world.make(work.clone()).await;
        let person = Person::tenant(&world).await;
        let thing = world.credential_outputs("gw", 1).user_name;
        person.change("things", &thing, "/key", serde_json::json!({ "key": "another one" })).await;
        held.let_go();
        held.done().await;
        assert_eq!(person.ids("things").await.len(), 2);
        if looks {
            world.look().await.unwrap();
            assert_eq!(person.ids("things").await, [thing.as_str()]);
        }
        assert_eq!(world.apply(work).await.unwrap(), outputs);
        expect_once(&world, release, "a thing arrived late").await;
    }
}

macro_rules! for_each_release {
    ($($name:ident)*) => {
        mod mainflux_0_12 {
            $(#[tokio::test] async fn $name() { super::$name(super::Release::Mainflux012).await; })*
        }
        mod mainflux_0_13 {
            $(#[tokio::test] async fn $name() { super::$name(super::Release::Mainflux013).await; })*
        }
        mod supermq_0_17 {
            $(#[tokio::test] async fn $name() { super::$name(super::Release::SuperMq017).await; })*
        }
        mod supermq_0_19 {
            $(#[tokio::test] async fn $name() { super::$name(super::Release::SuperMq019).await; })*
        }
        mod magistrala_0_30 {
            $(#[tokio::test] async fn $name() { super::$name(super::Release::Magistrala030).await; })*
        }
    };
}

for_each_release! {
    repeating_changes_nothing
    interrupted_anywhere_everything_is_made_once
    interrupted_anywhere_everything_is_deleted
    what_arrives_late_makes_nothing_twice
    an_answer_that_is_lost_makes_nothing_twice
    what_arrives_after_a_delete_is_found
}
