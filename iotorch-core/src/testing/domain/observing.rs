//! Looking at the world.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Sample,
    stage::{Party, Stage},
};
use crate::{
    domain::Observed,
    resource::ResourceId,
    testing::{Failure, Outcome, ensure},
};

pub(super) async fn every_known_id_is_answered_for(stage: &mut Stage) -> Outcome {
    // Every observation is checked for this; what is left to try is that it holds before, between and after.
    for sample in &*Arc::clone(&stage.samples) {
        stage.expect_as_made().await?;
        stage.create(sample).await?;
    }
    stage.expect_as_made().await
}

pub(super) async fn marked_objects_that_nobody_knows_are_found(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    let mut tried = 0;
    for root in stage.roots() {
        let is_stray = |sample: &&Sample| sample.marked && sample.id != root && sample.id.scope() == root;
        let strays: Vec<_> = stage.samples.iter().filter(is_stray).cloned().collect();
        let only_root: BTreeSet<ResourceId> = [root.clone()].into();
        let Some(seen) = stage.look_knowing(Party::Us, &root, only_root.clone(), &only_root).await? else {
            continue;
        };
        for stray in strays {
            let made = stage.made.get(&stray.id);
            let made = made.ok_or_else(|| Failure::new(format!("\"{}\" was not made", stray.id)))?;
            let found = seen.get(&stray.id).unwrap_or(&Observed::Absent);
            stage.expect_present(&stray.id, found, &stray.spec, Some(&made.outputs))?;
            tried += 1;
        }
    }
    ensure!(tried > 0, "no marked sample lives in another, so Strays has to be declared as lacking");
    Ok(())
}
