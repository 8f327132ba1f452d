//! Runs and their journals.

use std::collections::BTreeSet;

use super::*;
use crate::{
    orchestrator::Direction,
    testing::{Outcome, ensure},
};

pub(super) async fn run_numbers_are_never_given_out_twice(store: Subject) -> Outcome {
    let given: Vec<RunId> = (0..100).map(|_| store.allocate_run()).collect();
    let different: BTreeSet<RunId> = given.iter().copied().collect();
    ensure!(different.len() == given.len(), "of 100 numbers {} are different", different.len());
    ensure!(!different.contains(&RunId(0)), "0 is no number of a run");
    let foreign = RunId(given.iter().map(|id| id.0).max().unwrap_or_default() + 1000);
    store.commit(vec![Write::OpenRun(run(foreign, "plant")?)]).await?;
    let next = store.allocate_run();
    ensure!(next > foreign, "{next} was given out although there is a run {foreign}");
    Ok(())
}

pub(super) async fn a_run_is_read_back_with_its_status(store: Subject) -> Outcome {
    let id = store.allocate_run();
    let opened = run(id, "plant")?;
    store.commit(vec![Write::OpenRun(Arc::clone(&opened))]).await?;
    let row = store.run(id).await?.ok_or_else(|| Failure::new("the run is not there"))?;
    ensure!(row.run == opened, "the run is another");
    ensure!(row.status.state == RunState::Running, "a new run is {}", row.status.state);
    ensure!(row.status.since == opened.started_at, "its state began at {}", row.status.since);

    let states = [
        RunState::Interrupted,
        RunState::Waiting,
        RunState::Paused,
        RunState::Stuck,
        RunState::RolledBack,
        RunState::Kept,
    ];
    for state in states {
        let mut status = status(state)?;
        status.cause = Some(cause());
        status.failed = Some(space("plant")?);
        status.residue = vec!["user \"gw\" on server \"hub\"".into()];
        store.commit(vec![Write::SetRunStatus(id, status.clone())]).await?;
        let row = store.run(id).await?.ok_or_else(|| Failure::new("the run is gone"))?;
        ensure!(row.status == status, "the status of a run that is {state} is another");
        ensure!(row.run == opened, "the run changed when it was {state}");
        let open = store.slice(&slice_name("plant")?).await?.open_run;
        ensure!(open == state.is_open().then_some(id), "with a run that is {state}, {open:?} is open");
    }
    Ok(())
}

pub(super) async fn a_journal_keeps_its_order(store: Subject) -> Outcome {
    let id = store.allocate_run();
    store.commit(vec![Write::OpenRun(run(id, "plant")?)]).await?;
    let other = open_run(&store, "other").await?;
    let step = StepId(0);
    let deadline = moment(30)?;
    let prior = vec![record(&space("plant")?, RunId(1))?];
    let inputs = Arc::new(Inputs::Space(NoInputs {}));
    let events = vec![
        JournalEvent::Started { step, deadline, prior, inputs },
        JournalEvent::Failed { step, cause: cause(), uncertain_until: None },
        JournalEvent::Stopped { step, uncertain_until: Some(deadline) },
        JournalEvent::Resumed { direction: Direction::Rollback },
        JournalEvent::Unwinding,
        JournalEvent::UndoStarted { step, deadline },
        JournalEvent::UndoStopped { step, uncertain_until: None },
        JournalEvent::UndoFailed { step, cause: cause(), uncertain_until: None },
        JournalEvent::UndoFinished { step, uncertain_until: None },
        JournalEvent::Skipped { step },
        JournalEvent::Succeeded { step, residue: vec!["user \"gw\"".into()], uncertain_until: None },
        JournalEvent::Committed,
    ];
    let entries = events
        .into_iter()
        .enumerate()
        .map(|(n, event)| entry(n as i64, event))
        .collect::<Result<Vec<_>>>()?;
    // Some in one commit, some in commits of their own, with those of another run in between.
    store.commit(entries[..4].iter().cloned().map(|entry| Write::Append(id, entry)).collect()).await?;
    for entry in &entries[4..] {
        store.commit(vec![Write::Append(other, skipped(9)?), Write::Append(id, entry.clone())]).await?;
    }
    ensure!(store.journal(id).await? == entries, "the journal is another");
    end_run(&store, id).await?;
    ensure!(store.journal(id).await? == entries, "the journal of the run that is over is another");
    let others = store.journal(other).await?.len();
    ensure!(others == entries.len() - 4, "the journal of the other run has {others} entries");
    Ok(())
}

pub(super) async fn a_second_run_on_a_slice_is_a_conflict_that_names_the_first(store: Subject) -> Outcome {
    let first = open_run(&store, "plant").await?;
    let second = store.allocate_run();
    for state in [RunState::Running, RunState::Paused, RunState::Stuck] {
        store.commit(vec![Write::SetRunStatus(first, status(state)?)]).await?;
        let refused = store.commit(vec![Write::OpenRun(run(second, "plant")?)]).await;
        let error = expect_kind(refused, ErrorKind::Conflict, "opening a second run")?;
        let told = error.to_cause().to_string();
        ensure!(told.contains(&first.to_string()), "the refusal does not name {first}: {told}");
        let help = error.help().unwrap_or_default();
        let command = format!("iotorch resume {first}");
        ensure!(help.contains(&command), "the help does not say {command:?} but {help:?}");
    }
    open_run(&store, "other").await?;
    Ok(())
}

pub(super) async fn a_run_that_is_over_makes_room_for_the_next(store: Subject) -> Outcome {
    for state in [RunState::Succeeded, RunState::RolledBack, RunState::Kept] {
        let id = open_run(&store, "plant").await?;
        store.commit(vec![Write::SetRunStatus(id, status(state)?)]).await?;
        let open = store.slice(&slice_name("plant")?).await?.open_run;
        ensure!(open.is_none(), "{id} is {state} and yet open");
    }
    Ok(())
}

pub(super) async fn of_many_runs_opened_at_the_same_time_one_wins(store: Subject) -> Outcome {
    let commits = (0..16)
        .map(|_| Ok(store.commit(vec![Write::OpenRun(run(store.allocate_run(), "plant")?)])))
        .collect::<Result<Vec<_>>>()?;
    let outcomes = futures::future::join_all(commits).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    ensure!(won == 1, "{won} of 16 runs were opened on one slice");
    for refused in outcomes.into_iter().filter(Result::is_err) {
        expect_kind(refused, ErrorKind::Conflict, "opening another run")?;
    }
    let open = store.slice(&slice_name("plant")?).await?.open_run;
    let kept: Vec<RunId> = store.runs().await?.iter().map(|row| row.run.id).collect();
    ensure!(kept.len() == 1 && open == kept.first().copied(), "{open:?} is open of {kept:?}");
    Ok(())
}

pub(super) async fn a_run_that_goes_on_again_closes_the_slice_to_others(store: Subject) -> Outcome {
    let first = open_run(&store, "plant").await?;
    end_run(&store, first).await?;
    store.commit(vec![Write::SetRunStatus(first, status(RunState::Running)?)]).await?;
    let open = store.slice(&slice_name("plant")?).await?.open_run;
    ensure!(open == Some(first), "a run that goes on again is not open");
    expect_kind(open_run(&store, "plant").await, ErrorKind::Conflict, "opening another run")?;
    end_run(&store, first).await?;
    let second = open_run(&store, "plant").await?;
    let again = store.commit(vec![Write::SetRunStatus(first, status(RunState::Running)?)]).await;
    let told = expect_kind(again, ErrorKind::Conflict, "going on with the first run")?.to_cause().to_string();
    ensure!(told.contains(&second.to_string()), "the refusal does not name {second}: {told}");
    // To end what has ended changes nothing about the run that is open.
    end_run(&store, first).await?;
    let open = store.slice(&slice_name("plant")?).await?.open_run;
    ensure!(open == Some(second), "{second} is not open any more");
    Ok(())
}

pub(super) async fn writes_of_one_commit_see_each_other(store: Subject) -> Outcome {
    let (first, second) = (store.allocate_run(), store.allocate_run());
    store
        .commit(vec![
            Write::OpenRun(run(first, "plant")?),
            Write::Append(first, skipped(0)?),
            Write::SetRunStatus(first, status(RunState::Succeeded)?),
            Write::OpenRun(run(second, "plant")?),
            Write::Append(second, skipped(1)?),
        ])
        .await?;
    let open = store.slice(&slice_name("plant")?).await?.open_run;
    ensure!(open == Some(second), "{open:?} is open");
    ensure!(store.journal(first).await? == [skipped(0)?], "the journal of the first is another");
    let third = store.allocate_run();
    let refused = store
        .commit(vec![
            Write::SetRunStatus(second, status(RunState::Succeeded)?),
            Write::OpenRun(run(third, "plant")?),
            Write::OpenRun(run(store.allocate_run(), "plant")?),
        ])
        .await;
    let told =
        expect_kind(refused, ErrorKind::Conflict, "opening two runs in one commit")?.to_cause().to_string();
    ensure!(told.contains(&third.to_string()), "the refusal does not name {third}: {told}");
    let dropped_first = store.commit(vec![Write::DropRun(first), Write::Append(first, skipped(2)?)]).await;
    expect_kind(dropped_first, ErrorKind::NotFound, "writing to the journal of a run that was just dropped")?;
    Ok(())
}

pub(super) async fn a_run_number_is_opened_once(store: Subject) -> Outcome {
    let id = open_run(&store, "plant").await?;
    end_run(&store, id).await?;
    let again = store.commit(vec![Write::OpenRun(run(id, "plant")?)]).await;
    expect_kind(again, ErrorKind::Conflict, "opening a run of the same number")?;
    Ok(())
}

pub(super) async fn an_unknown_run_is_not_found(store: Subject) -> Outcome {
    let id = store.allocate_run();
    let appended = store.commit(vec![Write::Append(id, skipped(0)?)]).await;
    let told = expect_kind(appended, ErrorKind::NotFound, "writing to the journal of an unknown run")?;
    ensure!(told.to_string().contains(&id.to_string()), "the error does not name {id}: {told}");
    let changed = store.commit(vec![Write::SetRunStatus(id, status(RunState::Kept)?)]).await;
    expect_kind(changed, ErrorKind::NotFound, "changing an unknown run")?;
    Ok(())
}

pub(super) async fn an_open_run_cannot_be_dropped(store: Subject) -> Outcome {
    let id = open_run(&store, "plant").await?;
    let refused = store.commit(vec![Write::DropRun(id)]).await;
    expect_kind(refused, ErrorKind::Conflict, "dropping an open run")?;
    ensure!(store.run(id).await?.is_some(), "the run is gone");
    store.commit(vec![Write::SetRunStatus(id, status(RunState::Kept)?), Write::DropRun(id)]).await?;
    Ok(())
}

pub(super) async fn a_dropped_run_is_gone_with_its_journal(store: Subject) -> Outcome {
    let (gone, kept) = (open_run(&store, "plant").await?, open_run(&store, "other").await?);
    for id in [gone, kept] {
        store.commit(vec![Write::Append(id, skipped(0)?), Write::Append(id, skipped(1)?)]).await?;
        end_run(&store, id).await?;
    }
    store.commit(vec![Write::DropRun(gone)]).await?;
    ensure!(store.run(gone).await?.is_none(), "the run is still there");
    ensure!(store.journal(gone).await?.is_empty(), "its journal is still there");
    ensure!(store.journal(kept).await?.len() == 2, "the journal of another run went along");
    let left: Vec<RunId> = store.runs().await?.iter().map(|row| row.run.id).collect();
    ensure!(left == [kept], "these runs are left: {left:?}");
    let again =
        vec![Write::DropRun(kept), Write::OpenRun(run(kept, "other")?), Write::Append(kept, skipped(0)?)];
    store.commit(again).await?;
    let entries = store.journal(kept).await?.len();
    ensure!(
        entries == 1,
        "a run that was dropped and opened by one commit has {entries} entries instead of 1"
    );
    Ok(())
}

pub(super) async fn runs_are_listed_newest_first(store: Subject) -> Outcome {
    let mut ids = Vec::new();
    for n in 0..12 {
        let id = open_run(&store, &format!("s{n}")).await?;
        if n % 3 == 0 {
            end_run(&store, id).await?;
        }
        ids.push(id);
    }
    ids.sort();
    ids.reverse();
    let rows = store.runs().await?;
    let listed: Vec<RunId> = rows.iter().map(|row| row.run.id).collect();
    ensure!(listed == ids, "listed are {listed:?}");
    let over = rows.iter().filter(|row| row.status.state == RunState::Succeeded).count();
    ensure!(over == 4, "{over} of 4 runs are over");
    Ok(())
}
