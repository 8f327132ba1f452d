//! Documents to simulate with.

use crate::model::{
    Connection, Device, DriverName, Gateway, Infrastructure, InfrastructureName, InfrastructureSpec,
    PartName, Placement, Profile, ProfileResource, ResourceName, Server, Slice, SliceName, SliceSpec, Tier,
    ValueType,
};

/// An infrastructure of a [`super::World`], in the cloud when its name says so, else at the edge.
///
/// # Panics
/// When `name` is not an [`InfrastructureName`].
#[must_use]
#[allow(clippy::expect_used, reason = "documented: names in tests are literals")]
pub fn sim_infrastructure(name: &str) -> Infrastructure {
    let tier = if name.contains("cloud") { Tier::Cloud } else { Tier::Edge };
    let spec = InfrastructureSpec::builder().driver(DriverName::literal("sim")).tier(tier).build();
    Infrastructure { name: InfrastructureName::new(name).expect("a literal that is a name"), spec }
}

/// A slice with a gateway `gw` at the edge, a server `hub` in the cloud, and two devices `d1` and `d2` of one profile.
///
/// # Panics
/// When `name` is not a [`SliceName`].
#[must_use]
#[allow(clippy::expect_used, reason = "documented: names in tests are literals")]
pub fn sim_slice(name: &str) -> Slice {
    let app = || DriverName::literal("sim-app");
    let (gw, hub, climate) =
        (PartName::literal("gw"), PartName::literal("hub"), PartName::literal("climate"));
    let temperature = ProfileResource::builder()
        .name(ResourceName::literal("temperature"))
        .value_type(ValueType::Float)
        .unit("Cel")
        .build();
    let device = |name| {
        Device::builder().name(PartName::literal(name)).gateway(gw.clone()).profile(climate.clone()).build()
    };
    let spec = SliceSpec::builder()
        .gateways(vec![
            Gateway::builder()
                .name(gw.clone())
                .application(app())
                .placement(Placement::builder().tier(Tier::Edge).build())
                .servers(vec![Connection::builder().name(hub.clone()).build()])
                .build(),
        ])
        .servers(vec![
            Server::builder()
                .name(hub)
                .application(app())
                .placement(Placement::builder().tier(Tier::Cloud).build())
                .build(),
        ])
        .profiles(vec![Profile { name: climate.clone(), resources: vec![temperature] }])
        .devices(vec![device("d1"), device("d2")])
        .build();
    Slice { name: SliceName::new(name).expect("a literal that is a name"), spec }
}
