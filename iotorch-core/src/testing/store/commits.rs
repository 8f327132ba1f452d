//! Commits and what is read after them.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::Health,
    model::{InfrastructureSpec, Location},
    store::{Seen, Sighting},
    testing::{Outcome, ensure},
};

fn sighting(root: &ResourceId) -> Result<Arc<Sighting>> {
    let unwell = BTreeMap::from([(root.clone(), Health::Degraded { reason: "its disk is full".into() })]);
    let seen = Seen::Known { unwell, drifted: BTreeMap::new() };
    Ok(Arc::new(Sighting { root: root.clone(), since: moment(5)?, seen }))
}

pub(super) async fn a_new_store_is_empty_and_has_an_identity(store: Subject) -> Outcome {
    let snapshot = store.snapshot().await?;
    ensure!(snapshot.infrastructures.is_empty(), "there are infrastructures");
    ensure!(snapshot.slices.is_empty(), "there are slices");
    ensure!(snapshot.reservations.is_empty(), "there are reservations");
    ensure!(store.runs().await?.is_empty(), "there are runs");
    ensure!(store.run(RunId(1)).await?.is_none(), "there is a run");
    ensure!(store.journal(RunId(1)).await?.is_empty(), "there is a journal");
    ensure!(store.slice(&slice_name("plant")?).await?.is_empty(), "a slice that is not known is not empty");
    let installation = store.installation();
    ensure!(!installation.is_empty(), "the installation has no identity");
    ensure!(!installation.contains('/'), "a mark cannot be read back when the identity has a \"/\"");
    Ok(())
}

pub(super) async fn what_was_committed_is_read_back(store: Subject) -> Outcome {
    let space = space("plant")?;
    let mut tainted = (*record(&space, RunId(7))?).clone();
    tainted.tainted = Some(cause());
    tainted.uses = vec!["plant/network/access".parse()?];
    let tainted = Arc::new(tainted);
    let (edge, slice, seen) = (infrastructure("edge")?, document("plant")?, sighting(&space)?);
    store
        .commit(vec![
            Write::PutInfrastructure(Arc::clone(&edge)),
            Write::PutSlice(Arc::clone(&slice)),
            Write::PutRecord(Arc::clone(&tainted)),
            Write::Reserve(space.clone(), vec![claim("edge/memory", 3, 10)]),
            Write::PutSighting(Arc::clone(&seen)),
        ])
        .await?;

    let snapshot = store.snapshot().await?;
    ensure!(snapshot.infrastructures.get(&edge.name) == Some(&edge), "the infrastructure is another");
    let known = store.slice(&slice.name).await?;
    ensure!(known.document.as_ref() == Some(&slice), "the document is another");
    ensure!(known.records.get(&space) == Some(&tainted), "the record is another");
    ensure!(known.sightings.get(&space) == Some(&seen), "the sighting is another");
    ensure!(known.open_run.is_none(), "a run is open");
    let in_snapshot = snapshot.slices.get(&slice.name);
    ensure!(
        in_snapshot.is_some_and(|slice| slice.records == known.records && slice.document == known.document),
        "the snapshot has another slice"
    );
    let held = snapshot.reservations.get(&space).map(Vec::as_slice);
    ensure!(held == Some(&[claim("edge/memory", 3, 10)]), "the reservation is another: {held:?}");
    Ok(())
}

pub(super) async fn what_was_committed_again_replaces_what_was_there(store: Subject) -> Outcome {
    let space = space("plant")?;
    for run in [RunId(1), RunId(2)] {
        store.commit(vec![Write::PutRecord(record(&space, run)?)]).await?;
    }
    let cloud = Infrastructure {
        name: "edge".parse()?,
        spec: InfrastructureSpec::builder().driver("local".parse()?).tier(Tier::Cloud).build(),
    };
    store.commit(vec![Write::PutInfrastructure(infrastructure("edge")?)]).await?;
    store.commit(vec![Write::PutInfrastructure(Arc::new(cloud.clone()))]).await?;
    let snapshot = store.snapshot().await?;
    let records = &store.slice(&slice_name("plant")?).await?.records;
    ensure!(records.len() == 1, "there are {} records of one resource", records.len());
    ensure!(records.values().all(|record| record.run == RunId(2)), "the record is the old one");
    ensure!(
        snapshot.infrastructures.values().all(|kept| **kept == cloud),
        "the infrastructure is the old one"
    );
    Ok(())
}

pub(super) async fn what_was_dropped_is_gone_and_dropping_it_again_succeeds(store: Subject) -> Outcome {
    let space = space("plant")?;
    store
        .commit(vec![
            Write::PutInfrastructure(infrastructure("edge")?),
            Write::PutSlice(document("plant")?),
            Write::PutSlice(document("other")?),
            Write::PutRecord(record(&space, RunId(1))?),
            Write::PutSighting(sighting(&space)?),
        ])
        .await?;
    for _ in 0..2 {
        store.commit(vec![Write::DropSighting(space.clone()), Write::DropRecord(space.clone())]).await?;
        let known = store.slice(&slice_name("plant")?).await?;
        ensure!(known.sightings.is_empty(), "the sighting is still there");
        ensure!(known.records.is_empty(), "the record is still there");
        ensure!(known.document.is_some(), "the document went along");
    }
    for _ in 0..2 {
        let drops = vec![
            Write::DropSlice(slice_name("plant")?),
            Write::DropInfrastructure("edge".parse()?),
            Write::Release(space.clone()),
            Write::DropRun(RunId(4)),
        ];
        store.commit(drops).await?;
    }
    let snapshot = store.snapshot().await?;
    ensure!(snapshot.infrastructures.is_empty(), "the infrastructure is still there");
    let left: Vec<_> = snapshot.slices.keys().map(SliceName::as_str).collect();
    ensure!(left == ["other"], "these slices are left: {left:?}");
    Ok(())
}

pub(super) async fn a_slice_of_which_nothing_is_left_is_gone_with_its_sightings(store: Subject) -> Outcome {
    let space = space("plant")?;
    let name = slice_name("plant")?;
    store
        .commit(vec![
            Write::PutSlice(document("plant")?),
            Write::PutRecord(record(&space, RunId(1))?),
            Write::PutSighting(sighting(&space)?),
        ])
        .await?;
    store.commit(vec![Write::DropSlice(name.clone())]).await?;
    ensure!(store.snapshot().await?.slices.contains_key(&name), "the slice went before its records");
    store.commit(vec![Write::DropRecord(space.clone())]).await?;
    ensure!(store.snapshot().await?.slices.is_empty(), "an empty slice is still listed");
    store.commit(vec![Write::PutSlice(document("plant")?)]).await?;
    let sightings = &store.slice(&name).await?.sightings;
    ensure!(sightings.is_empty(), "a sighting of the slice that is gone came back");
    // Within a commit it may be empty for a while.
    store.commit(vec![Write::PutSighting(sighting(&space)?)]).await?;
    store.commit(vec![Write::DropSlice(name.clone()), Write::PutSlice(document("plant")?)]).await?;
    ensure!(!store.slice(&name).await?.sightings.is_empty(), "a sighting was lost within a commit");
    Ok(())
}

pub(super) async fn a_commit_that_is_refused_changes_nothing(store: Subject) -> Outcome {
    let space = space("plant")?;
    let id = store.allocate_run();
    let refused = store
        .commit(vec![
            Write::PutInfrastructure(infrastructure("edge")?),
            Write::PutSlice(document("plant")?),
            Write::PutRecord(record(&space, id)?),
            Write::Reserve(space.clone(), vec![claim("edge/memory", 1, 10)]),
            Write::OpenRun(run(id, "plant")?),
            Write::Append(id, skipped(0)?),
            Write::Append(RunId(id.0 + 1), skipped(0)?),
        ])
        .await;
    expect_kind(refused, ErrorKind::NotFound, "writing to the journal of a run that is not there")?;
    let snapshot = store.snapshot().await?;
    ensure!(snapshot.infrastructures.is_empty(), "the infrastructure is there");
    ensure!(snapshot.slices.is_empty(), "the slice is there");
    ensure!(snapshot.reservations.is_empty(), "the reservation is there");
    ensure!(store.run(id).await?.is_none(), "the run is there");
    ensure!(store.journal(id).await?.is_empty(), "the journal is there");
    store.commit(vec![Write::OpenRun(run(id, "plant")?)]).await?;
    Ok(())
}

pub(super) async fn a_snapshot_stays_as_it_was(store: Subject) -> Outcome {
    let space = space("plant")?;
    store
        .commit(vec![
            Write::PutSlice(document("plant")?),
            Write::PutRecord(record(&space, RunId(1))?),
            Write::Reserve(space.clone(), vec![claim("edge/memory", 1, 10)]),
        ])
        .await?;
    let snapshot = store.snapshot().await?;
    let slice = store.slice(&slice_name("plant")?).await?;
    store.commit(vec![Write::DropRecord(space.clone()), Write::DropSlice(slice_name("plant")?)]).await?;
    ensure!(snapshot.slices.values().all(|slice| slice.records.contains_key(&space)), "its slice changed");
    ensure!(snapshot.slices.len() == 1, "its slices changed");
    ensure!(snapshot.reservations.contains_key(&space), "its reservations changed");
    ensure!(slice.document.is_some(), "the slice that was read changed");
    ensure!(store.snapshot().await?.slices.is_empty(), "the next snapshot is old");
    Ok(())
}

pub(super) async fn commits_at_the_same_time_are_all_done(store: Subject) -> Outcome {
    let commits = (0..64)
        .map(|n| {
            let slice = format!("s{n}");
            let record = record(&space(&slice)?, RunId(n))?;
            Ok(store.commit(vec![Write::PutSlice(document(&slice)?), Write::PutRecord(record)]))
        })
        .collect::<Result<Vec<_>>>()?;
    futures::future::try_join_all(commits).await?;
    let snapshot = store.snapshot().await?;
    ensure!(snapshot.slices.len() == 64, "{} of 64 slices are there", snapshot.slices.len());
    let whole = snapshot.slices.values().all(|slice| slice.document.is_some() && slice.records.len() == 1);
    ensure!(whole, "a commit was done in part");
    Ok(())
}

pub(super) async fn numbers_are_read_back_exactly(store: Subject) -> Outcome {
    // Values with all the places there are: a hasty conversion to decimal and back changes the last of some.
    let long: Vec<f64> = (1_u32..200).map(|n| f64::from(n).sqrt() / 7.0).collect();
    let mut edge = (*infrastructure("edge")?).clone();
    edge.spec.location = Some(Location { latitude: long[150], longitude: -long[7] });
    edge.spec.settings.insert("large".into(), u64::MAX.into());
    edge.spec.settings.insert("small".into(), f64::from_bits(1).into());
    edge.spec.settings.insert("long".into(), long.into());
    let edge = Arc::new(edge);
    store.commit(vec![Write::PutInfrastructure(Arc::clone(&edge))]).await?;
    let snapshot = store.snapshot().await?;
    ensure!(snapshot.infrastructures.get(&edge.name) == Some(&edge), "a number changed");
    Ok(())
}
