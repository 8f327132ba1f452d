//! What is held of shared things.

use super::*;
use crate::testing::{Outcome, ensure};

const MEMORY: &str = "edge/memory";

async fn reserve(store: &Subject, slice: &str, amount: u64, capacity: u64) -> Result<()> {
    store.commit(vec![Write::Reserve(space(slice)?, vec![claim(MEMORY, amount, capacity)])]).await
}

async fn held(store: &Subject) -> Result<u64> {
    let snapshot = store.snapshot().await?;
    Ok(snapshot.reservations.values().flatten().map(|claim| claim.amount).sum())
}

pub(super) async fn claims_are_admitted_up_to_the_capacity(store: Subject) -> Outcome {
    reserve(&store, "a", 6, 10).await?;
    reserve(&store, "b", 4, 10).await?;
    expect_kind(reserve(&store, "c", 1, 10).await, ErrorKind::Infeasible, "reserving the eleventh of 10")?;
    // What one thing lacks, another may have.
    store.commit(vec![Write::Reserve(space("c")?, vec![claim("edge/port/1883", 1, 1)])]).await?;
    let second = store.commit(vec![Write::Reserve(space("d")?, vec![claim("edge/port/1883", 1, 1)])]).await;
    expect_kind(second, ErrorKind::Infeasible, "reserving an exclusive thing twice")?;
    Ok(())
}

pub(super) async fn a_refusal_names_the_numbers_and_the_holders(store: Subject) -> Outcome {
    reserve(&store, "a", 60, 100).await?;
    reserve(&store, "b", 25, 100).await?;
    let refused = reserve(&store, "c", 17, 100).await;
    let told = expect_kind(refused, ErrorKind::Infeasible, "reserving too much")?.to_cause().to_string();
    for part in [MEMORY, "17", "100", "85", "c/edge/space", "a/edge/space", "60", "b/edge/space", "25"] {
        ensure!(told.contains(part), "the refusal does not say {part:?}: {told}");
    }
    Ok(())
}

pub(super) async fn a_claim_replaces_the_one_before(store: Subject) -> Outcome {
    reserve(&store, "a", 6, 10).await?;
    reserve(&store, "a", 9, 10).await?;
    ensure!(held(&store).await? == 9, "after replacing 6 by 9, {} is held", held(&store).await?);
    expect_kind(reserve(&store, "a", 11, 10).await, ErrorKind::Infeasible, "reserving too much")?;
    ensure!(held(&store).await? == 9, "a refused claim changed what is held");
    reserve(&store, "a", 2, 10).await?;
    reserve(&store, "b", 8, 10).await?;
    store.commit(vec![Write::Reserve(space("b")?, Vec::new())]).await?;
    ensure!(held(&store).await? == 2, "claiming nothing did not release what was held");
    ensure!(store.snapshot().await?.reservations.len() == 1, "who holds nothing is still listed");
    Ok(())
}

pub(super) async fn what_is_released_in_a_commit_can_be_reserved_in_it(store: Subject) -> Outcome {
    reserve(&store, "a", 10, 10).await?;
    store
        .commit(vec![Write::Release(space("a")?), Write::Reserve(space("b")?, vec![claim(MEMORY, 10, 10)])])
        .await?;
    let snapshot = store.snapshot().await?;
    let holders: Vec<_> = snapshot.reservations.keys().map(ResourceId::slice).collect();
    ensure!(holders == ["b"], "these hold something: {holders:?}");
    Ok(())
}

pub(super) async fn the_claims_of_one_commit_count_together(store: Subject) -> Outcome {
    let both = |a: u64, b: u64| -> Result<Vec<Write>> {
        Ok(vec![
            Write::Reserve(space("a")?, vec![claim(MEMORY, a, 10)]),
            Write::Reserve(space("b")?, vec![claim(MEMORY, b, 10)]),
        ])
    };
    expect_kind(store.commit(both(6, 5)?).await, ErrorKind::Infeasible, "reserving 11 of 10 in one commit")?;
    ensure!(held(&store).await? == 0, "a refused commit reserved something");
    store.commit(both(6, 4)?).await?;
    let twice = vec![Write::Reserve(space("c")?, vec![claim("edge/cpu", 6, 10), claim("edge/cpu", 5, 10)])];
    expect_kind(store.commit(twice).await, ErrorKind::Infeasible, "claiming 11 of 10 in two parts")?;
    Ok(())
}

pub(super) async fn dropping_a_record_releases_what_it_holds(store: Subject) -> Outcome {
    let space = space("a")?;
    store
        .commit(vec![
            Write::PutRecord(record(&space, RunId(1))?),
            Write::Reserve(space.clone(), vec![claim(MEMORY, 10, 10)]),
        ])
        .await?;
    store.commit(vec![Write::DropRecord(space)]).await?;
    ensure!(store.snapshot().await?.reservations.is_empty(), "the claims are still there");
    reserve(&store, "b", 10, 10).await?;
    Ok(())
}

pub(super) async fn a_refused_claim_refuses_the_whole_commit(store: Subject) -> Outcome {
    reserve(&store, "a", 10, 10).await?;
    let id = store.allocate_run();
    let refused = store
        .commit(vec![Write::OpenRun(run(id, "b")?), Write::Reserve(space("b")?, vec![claim(MEMORY, 1, 10)])])
        .await;
    expect_kind(refused, ErrorKind::Infeasible, "opening a run that claims too much")?;
    ensure!(store.run(id).await?.is_none(), "the run was opened");
    ensure!(store.slice(&slice_name("b")?).await?.open_run.is_none(), "the slice has an open run");
    Ok(())
}

pub(super) async fn of_claims_made_at_the_same_time_as_many_as_fit_are_admitted(store: Subject) -> Outcome {
    let slices: Vec<String> = (0..32).map(|n| format!("s{n}")).collect();
    let outcomes = futures::future::join_all(slices.iter().map(|slice| reserve(&store, slice, 3, 10))).await;
    let admitted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    ensure!(admitted == 3, "{admitted} claims of 3 were admitted to 10");
    ensure!(held(&store).await? == 9, "{} is held", held(&store).await?);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        expect_kind(refused, ErrorKind::Infeasible, "a claim too many")?;
    }
    Ok(())
}

pub(super) async fn a_capacity_that_shrank_keeps_nobody_from_taking_less(store: Subject) -> Outcome {
    reserve(&store, "a", 6, 10).await?;
    reserve(&store, "b", 4, 10).await?;
    reserve(&store, "a", 6, 8).await?;
    reserve(&store, "a", 5, 8).await?;
    expect_kind(reserve(&store, "b", 5, 8).await, ErrorKind::Infeasible, "taking more than there is now")?;
    Ok(())
}
