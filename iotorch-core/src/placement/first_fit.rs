//! The default placer.

use std::cmp::Ordering;

use super::{Demand, Offer, Placer};
use crate::{
    model::{Capacity, Labels, Tier},
    plan::{Candidate, PlacementChoice},
    resource::Role,
};

/// Takes the first place that fits. A place that has the part keeps it; else the nearest to the point asked for comes first, then the
/// tier that suits the part (gateways at the edge, all else in the cloud), then the name.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstFit;

impl Placer for FirstFit {
    fn place(&self, demand: &Demand<'_>, offers: &[Offer]) -> Result<PlacementChoice, Vec<Candidate>> {
        let mut fitting = Vec::new();
        let mut rejected = Vec::new();
        for offer in offers {
            match obstacle(demand, offer) {
                None => fitting.push(offer),
                Some(reason) => {
                    rejected.push(Candidate { infrastructure: offer.infrastructure.name.clone(), reason });
                }
            }
        }
        fitting.sort_by(|a, b| preference(demand, a, b));
        let Some((chosen, others)) = fitting.split_first() else {
            return Err(rejected);
        };
        let reason = why(demand, chosen, offers.len());
        rejected.extend(others.iter().map(|offer| Candidate {
            infrastructure: offer.infrastructure.name.clone(),
            reason: format!("fits too; {} comes first", chosen.infrastructure.name),
        }));
        rejected.sort_by(|a, b| a.infrastructure.cmp(&b.infrastructure));
        Ok(PlacementChoice {
            part: demand.part.clone(),
            infrastructure: chosen.infrastructure.name.clone(),
            reason,
            rejected: if demand.placement.infrastructure.is_some() { Vec::new() } else { rejected },
        })
    }
}

fn distance(demand: &Demand<'_>, offer: &Offer) -> Option<f64> {
    let near = demand.placement.near?;
    Some(offer.infrastructure.spec.location?.metres_to(near.location))
}

#[allow(clippy::cast_precision_loss, reason = "metres on Earth are far below 2^52")]
fn obstacle(demand: &Demand<'_>, offer: &Offer) -> Option<String> {
    let (wanted, place) = (demand.placement, &offer.infrastructure.spec);
    if wanted.infrastructure.as_ref().is_some_and(|name| *name != offer.infrastructure.name) {
        return Some("another is named".into());
    }
    if let Some(reason) = &offer.unsuitable {
        return Some(reason.clone());
    }
    if wanted.tier.is_some_and(|tier| tier != place.tier) {
        return Some(format!("tier {}", place.tier));
    }
    if let Some((key, value)) =
        wanted.labels.iter().find(|(key, value)| place.labels.get(*key) != Some(value))
    {
        return Some(match place.labels.get(key) {
            Some(other) => format!("{key} {other}"),
            None => format!("no label {key} ({value} wanted)"),
        });
    }
    if let Some(near) = wanted.near {
        match (distance(demand, offer), near.within) {
            (None, _) => return Some("its location is not known".into()),
            (Some(metres), Some(within)) if metres > within.metres() as f64 => {
                return Some(format!("{:.0} km away, {within} wanted", metres / 1000.0));
            }
            _ => {}
        }
    }
    shortage(&wanted.needs, &offer.free)
}

fn shortage(needs: &Capacity, free: &Capacity) -> Option<String> {
    fn short<T: PartialOrd + std::fmt::Display>(
        what: &str,
        need: Option<T>,
        free: Option<T>,
    ) -> Option<String> {
        match (need, free) {
            (Some(need), Some(free)) if need > free => Some(format!("{what}: {need} needed, {free} left")),
            _ => None,
        }
    }
    short("cpu", needs.cpu, free.cpu)
        .or_else(|| short("memory", needs.memory, free.memory))
        .or_else(|| short("storage", needs.storage, free.storage))
}

const fn natural_tier(role: Role) -> Tier {
    match role {
        Role::Gateway => Tier::Edge,
        Role::Server | Role::Function => Tier::Cloud,
    }
}

fn preference(demand: &Demand<'_>, a: &Offer, b: &Offer) -> Ordering {
    let away = |offer: &Offer| demand.current != Some(&offer.infrastructure.name);
    let metres = |offer: &Offer| distance(demand, offer).unwrap_or(f64::INFINITY);
    let off_tier = |offer: &Offer| offer.infrastructure.spec.tier != natural_tier(demand.role);
    away(a)
        .cmp(&away(b))
        .then(metres(a).total_cmp(&metres(b)))
        .then(off_tier(a).cmp(&off_tier(b)))
        .then_with(|| a.infrastructure.name.cmp(&b.infrastructure.name))
}

fn why(demand: &Demand<'_>, chosen: &Offer, offers: usize) -> String {
    let wanted = demand.placement;
    if wanted.infrastructure.is_some() {
        return "named".into();
    }
    let labels =
        |labels: &Labels| labels.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>();
    let mut reasons: Vec<String> = wanted.tier.map(|tier| format!("tier {tier}")).into_iter().collect();
    reasons.extend(labels(&wanted.labels));
    reasons.extend(distance(demand, chosen).map(|metres| format!("{:.0} km away", metres / 1000.0)));
    if !wanted.needs.is_empty() {
        reasons.push("room enough".into());
    }
    if demand.current == Some(&chosen.infrastructure.name) {
        reasons.push("it is there already".into());
    } else if offers == 1 {
        reasons.push("the only place".into());
    } else if reasons.is_empty() {
        reasons.push(format!("first of tier {}", chosen.infrastructure.spec.tier));
    }
    reasons.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        ByteSize, Distance, DriverName, Infrastructure, InfrastructureName, InfrastructureSpec, Location,
        Near, PartName, Placement, SliceName,
    };

    fn offer(name: &str, tier: Tier, site: &str) -> Offer {
        let spec = InfrastructureSpec::builder()
            .driver(DriverName::literal("sim"))
            .tier(tier)
            .labels([("site".to_owned(), site.to_owned())].into())
            .location(Location { latitude: if site == "north" { 43.5 } else { 37.4 }, longitude: -5.9 })
            .build();
        Offer {
            infrastructure: Arc::new(Infrastructure { name: InfrastructureName::new(name).unwrap(), spec }),
            free: Capacity { memory: Some(ByteSize::from_bytes(1 << 30)), ..Capacity::default() },
            unsuitable: None,
        }
    }

    fn place(placement: &Placement, current: Option<&str>) -> Result<PlacementChoice, Vec<Candidate>> {
        let offers = [
            offer("edge-1", Tier::Edge, "north"),
            offer("edge-2", Tier::Edge, "south"),
            offer("cloud-1", Tier::Cloud, "south"),
        ];
        let (slice, part) = (SliceName::new("s").unwrap(), PartName::new("gw").unwrap());
        let current = current.map(|name| InfrastructureName::new(name).unwrap());
        let demand =
            Demand { slice: &slice, part: &part, role: Role::Gateway, placement, current: current.as_ref() };
        FirstFit.place(&demand, &offers)
    }

    #[test]
    fn the_choice_comes_with_its_reason_and_the_rejected_candidates() {
        let placement =
            Placement::builder().tier(Tier::Edge).labels([("site".into(), "north".into())].into()).build();
        let choice = place(&placement, None).unwrap();
        assert_eq!(choice.infrastructure.as_str(), "edge-1");
        assert_eq!(choice.reason, "tier edge, site north");
        let rejected: Vec<_> =
            choice.rejected.iter().map(|c| format!("{} ({})", c.infrastructure, c.reason)).collect();
        assert_eq!(rejected, ["cloud-1 (tier cloud)", "edge-2 (site south)"]);
    }

    #[test]
    fn a_part_stays_where_it_is_while_that_place_fits() {
        assert_eq!(place(&Placement::default(), None).unwrap().infrastructure.as_str(), "edge-1");
        assert_eq!(place(&Placement::default(), Some("edge-2")).unwrap().infrastructure.as_str(), "edge-2");
    }

    #[test]
    fn distance_and_capacity_decide_and_say_so() {
        let near = Near {
            location: Location { latitude: 37.4, longitude: -5.9 },
            within: Some(Distance::from_metres(10_000)),
        };
        let choice = place(&Placement::builder().near(near).build(), None).unwrap();
        assert_eq!(choice.infrastructure.as_str(), "edge-2");
        assert_eq!(choice.rejected[1].reason, "678 km away, 10km wanted");
        let needs = Capacity { memory: Some(ByteSize::from_bytes(2 << 30)), ..Capacity::default() };
        let rejected = place(&Placement::builder().needs(needs).build(), None).unwrap_err();
        assert_eq!(rejected[0].reason, "memory: 2GiB needed, 1GiB left");
        assert_eq!(rejected.len(), 3);
    }
}
