//! Placement of one's own: the cheapest of the places that fit.
//!
//! The prices are labels of the infrastructures. What fits is still judged by [`FirstFit`], so that tiers, labels, distances and
//! capacities mean what they always do. Places are simulated here; the placer is the same for real ones.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, sync::Arc};

use iotorch_core::{
    Engine, Intent, Orchestrator, RunOptions,
    model::Infrastructure,
    placement::{Demand, FirstFit, Offer, Placer},
    plan::{Candidate, PlacementChoice},
    secret::MemorySecretStore,
    sim::{World, sim_infrastructure, sim_slice},
    store::MemoryStore,
};

/// The label with a place's price an hour, in cents.
const PRICE: &str = "price";

struct Cheapest;

impl Placer for Cheapest {
    fn place(&self, demand: &Demand<'_>, offers: &[Offer]) -> Result<PlacementChoice, Vec<Candidate>> {
        let (mut fitting, mut rejected) = (Vec::new(), Vec::new());
        for offer in offers {
            match FirstFit.place(demand, std::slice::from_ref(offer)) {
                Ok(choice) => fitting.push((price(offer), choice)),
                Err(reasons) => rejected.extend(reasons),
            }
        }
        // What has a place that fits stays there, whatever others cost: a move would cost its users more.
        let moves = |choice: &PlacementChoice| demand.current != Some(&choice.infrastructure);
        fitting.sort_by_key(|(price, choice)| (moves(choice), *price, choice.infrastructure.clone()));
        let mut fitting = fitting.into_iter();
        let Some((price, chosen)) = fitting.next() else { return Err(rejected) };
        rejected.extend(fitting.map(|(price, other)| Candidate {
            infrastructure: other.infrastructure,
            reason: format!("{price} cents an hour"),
        }));
        Ok(PlacementChoice { reason: format!("{price} cents an hour"), rejected, ..chosen })
    }
}

/// The price of a place; one without a price is the last choice.
fn price(offer: &Offer) -> u32 {
    let label = offer.infrastructure.spec.labels.get(PRICE);
    label.and_then(|price| price.parse().ok()).unwrap_or(u32::MAX)
}

fn infrastructure(name: &str, price: &str) -> Infrastructure {
    let mut infrastructure = sim_infrastructure(name);
    infrastructure.spec.labels.insert(PRICE.to_owned(), price.to_owned());
    infrastructure
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(Arc::new(MemorySecretStore::default()))
        .drivers(World::new().drivers())
        .placer(Arc::new(Cheapest))
        .build();
    let mut wanted = Intent {
        infrastructures: vec![
            infrastructure("edge-1", "9"),
            infrastructure("edge-2", "4"),
            infrastructure("cloud-1", "2"),
        ],
        slices: vec![sim_slice("greenhouse")],
        ..Intent::default()
    };
    let plan = engine.plan(&wanted).await?;
    for choice in plan.slices.iter().flat_map(|slice| &slice.placements) {
        println!("{} goes to {}: {}", choice.part, choice.infrastructure, choice.reason);
        for other in &choice.rejected {
            println!("  not to {}: {}", other.infrastructure, other.reason);
        }
    }
    engine.apply(plan, RunOptions::default()).await?;

    wanted.infrastructures[0] = infrastructure("edge-1", "1");
    let plan = engine.plan(&wanted).await?;
    println!("edge-1 is cheaper now, and {} steps would follow: what runs stays", plan.summary().create);
    Ok(())
}
