//! Random slices that can be planned on the infrastructures of the corpus, and random changes of them.

use iotorch_core::model::{
    AccessSegment, AccessTechnology, Bandwidth, BandwidthObjective, Chart, Connection, CoreSegment, Device,
    DriverName, FunctionBinding, FunctionType, Gateway, InfrastructureName, Network, NetworkFunction,
    PartName, Physical, Placement, Profile, ProfileResource, Server, Settings, Sink, SinkKind, Slice,
    SliceSpec, TransportSegment, ValueType,
};
use iotorch_core::resource::NetAddress;
use proptest::{collection::vec, option::of, prelude::*};

/// What a slice is made of, in numbers; a number past the end counts from the beginning again, so every recipe is right.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Which gateways (the first two bits) and servers (the next two) are of this crate's own software, and which transport
    /// segments (the last four) somebody enforces. No change touches these: they choose the driver of a resource.
    drivers: u8,
    gateways: Vec<Software>,
    servers: Vec<Software>,
    /// For each gateway, the servers that it exports to, as bits.
    links: Vec<u8>,
    /// Whether the first gateway exports to a broker as well.
    sink: bool,
    /// For each profile its resources, as bits.
    profiles: Vec<u8>,
    devices: Vec<(usize, usize, Option<u8>)>,
    network: Option<Wires>,
}

#[derive(Clone, Debug)]
struct Software {
    place: usize,
    chart: u8,
    retention: Option<u8>,
}

#[derive(Clone, Debug)]
struct Wires {
    /// For each gateway, the server that it is joined to, and the rate in Mbit/s.
    transport: Vec<(usize, u8)>,
    access: bool,
    function: Option<(bool, Option<usize>)>,
}

fn software() -> impl Strategy<Value = Software> {
    (0..3_usize, 0..3_u8, of(0..3_u8)).prop_map(|(place, chart, retention)| Software {
        place,
        chart,
        retention,
    })
}

fn wires() -> impl Strategy<Value = Wires> {
    let transport = vec((0..2_usize, 1..4_u8), 0..3);
    (transport, any::<bool>(), of((any::<bool>(), of(0..2_usize))))
        .prop_map(|(transport, access, function)| Wires { transport, access, function })
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    (
        any::<u8>(),
        vec(software(), 1..3),
        vec(software(), 0..3),
        vec(0..4_u8, 2),
        any::<bool>(),
        vec(1..8_u8, 1..3),
        vec((0..2_usize, 0..2_usize, of(0..2_u8)), 0..4),
        of(wires()),
    )
        .prop_map(|(drivers, gateways, servers, links, sink, profiles, devices, network)| Recipe {
            drivers,
            gateways,
            servers,
            links,
            sink,
            profiles,
            devices,
            network,
        })
}

/// A recipe, and the same with some of its parts taken from another.
pub(crate) fn change() -> impl Strategy<Value = (Recipe, Recipe)> {
    (recipe(), recipe(), 1..128_u8).prop_map(|(start, other, parts)| {
        let mut goal = start.clone();
        let takes = |part: u8| parts & (1 << part) != 0;
        if takes(0) {
            goal.gateways = other.gateways;
        }
        if takes(1) {
            goal.servers = other.servers;
        }
        if takes(2) {
            goal.links = other.links;
        }
        if takes(3) {
            goal.sink = other.sink;
        }
        if takes(4) {
            goal.profiles = other.profiles;
        }
        if takes(5) {
            goal.devices = other.devices;
        }
        if takes(6) {
            goal.network = other.network;
        }
        (start, goal)
    })
}

/// A recipe, and the same with other settings for some of its gateways and servers.
pub(crate) fn redeployment() -> impl Strategy<Value = (Recipe, Recipe)> {
    (recipe(), 1..16_u8).prop_map(|(start, which)| {
        let mut goal = start.clone();
        let software = goal.gateways.iter_mut().chain(&mut goal.servers);
        for (_, software) in (0..).zip(software).filter(|(number, _)| which & (1 << number) != 0) {
            software.retention = Some(software.retention.map_or(0, |days| days + 1));
        }
        (start, goal)
    })
}

fn part(name: &str, number: usize) -> PartName {
    PartName::new(&format!("{name}-{number}")).unwrap()
}

fn driver(name: &str) -> DriverName {
    DriverName::new(name).unwrap()
}

fn at(name: &str) -> Placement {
    Placement::builder().infrastructure(InfrastructureName::new(name).unwrap()).build()
}

fn rate(megabits: u8) -> BandwidthObjective {
    let guaranteed = Some(Bandwidth::from_bits_per_second(u64::from(megabits) * 1_000_000));
    BandwidthObjective { guaranteed, max: None }
}

impl Software {
    fn place(&self) -> Placement {
        at(["here", "edge-1", "edge-2"][self.place])
    }

    fn chart(&self, lite: bool) -> Option<Chart> {
        let digest = format!("sha256:{:02x}", self.chart);
        let source = "oci://charts/software".to_owned();
        (!lite).then(|| Chart::builder().source(source).digest(digest).build())
    }

    fn settings(&self) -> Settings {
        let retention = self.retention.map(|days| ("retention".to_owned(), format!("{days}d").into()));
        retention.into_iter().collect()
    }
}

impl Recipe {
    const fn is_lite(&self, software: usize) -> bool {
        self.drivers & (1 << software) != 0
    }

    const fn is_enforced(&self, gateway: usize, server: usize) -> bool {
        self.drivers & (16 << (2 * gateway + server)) != 0
    }

    pub(crate) fn slice(&self) -> Slice {
        let gateways: Vec<Gateway> =
            self.gateways.iter().enumerate().map(|(number, gateway)| self.gateway(number, gateway)).collect();
        let servers = self.servers.iter().enumerate().map(|(number, server)| Server {
            name: part("hub", number),
            application: driver(if self.is_lite(2 + number) { "lite" } else { "mainflux" }),
            placement: if server.place == 0 { at("here") } else { at("cloud-1") },
            chart: server.chart(self.is_lite(2 + number)),
            external: None,
            settings: server.settings(),
        });
        let resource = |(bit, name): (u8, &str)| {
            let name = name.parse().unwrap();
            (1 << bit, ProfileResource::builder().name(name).value_type(ValueType::Float).build())
        };
        let profiles = self.profiles.iter().enumerate().map(|(number, bits)| Profile {
            name: part("profile", number),
            resources: (0..)
                .zip(["temperature", "humidity", "pressure"])
                .map(resource)
                .filter_map(|(bit, resource)| (bits & bit != 0).then_some(resource))
                .collect(),
        });
        let devices = self.devices.iter().enumerate().map(|(number, (gateway, profile, row))| {
            let row = row.map(|row| ("row".to_owned(), row.to_string()));
            Device::builder()
                .name(part("device", number))
                .gateway(part("gw", gateway % self.gateways.len()))
                .profile(part("profile", profile % self.profiles.len()))
                .labels(row.into_iter().collect())
                .build()
        });
        let spec = SliceSpec::builder()
            .gateways(gateways)
            .servers(servers.collect())
            .profiles(profiles.collect())
            .devices(devices.collect());
        let spec = match &self.network {
            Some(wires) => spec.network(self.network(wires)).build(),
            None => spec.build(),
        };
        Slice { name: "greenhouse".parse().unwrap(), spec }
    }

    fn gateway(&self, number: usize, gateway: &Software) -> Gateway {
        let linked = (0..self.servers.len()).filter(|server| self.links[number] & (1 << server) != 0);
        let servers = linked.map(|server| Connection::builder().name(part("hub", server)).build());
        let sink = || {
            Sink::builder()
                .name("broker".parse().unwrap())
                .kind(SinkKind::Mqtt)
                .endpoint(NetAddress { host: "broker.test".into(), port: 1883, tls: false })
                .target("plant")
                .build()
        };
        Gateway {
            name: part("gw", number),
            application: driver(if self.is_lite(number) { "lite" } else { "edgex" }),
            placement: gateway.place(),
            chart: gateway.chart(self.is_lite(number)),
            external: None,
            servers: servers.collect(),
            sinks: if number == 0 && self.sink { vec![sink()] } else { Vec::new() },
            settings: gateway.settings(),
        }
    }

    fn network(&self, wires: &Wires) -> Network {
        let ends = wires.transport.iter().take(self.gateways.len()).enumerate();
        let ends = ends.filter(|_| !self.servers.is_empty());
        let transport = ends.map(|(gateway, (server, megabits))| {
            let server = server % self.servers.len();
            TransportSegment::builder()
                .between([part("gw", gateway), part("hub", server)])
                .driver(driver(if self.is_enforced(gateway, server) { "linux-vxlan" } else { "declared" }))
                .bandwidth(rate(*megabits))
                .build()
        });
        let access = wires.access.then(|| AccessSegment {
            technology: AccessTechnology::NbIot,
            driver: driver("declared"),
            objectives: Default::default(),
            settings: Settings::new(),
        });
        let core = wires.function.map(|(physical, exit)| CoreSegment {
            driver: driver("declared"),
            functions: vec![NetworkFunction {
                name: "upf".parse().unwrap(),
                function: FunctionType::Upf,
                placement: if physical { Placement::default() } else { at("edge-1") },
                chart: None,
                physical: physical.then(|| Physical { address: [192, 0, 2, 7].into() }),
                binding: exit.map(|gateway| FunctionBinding {
                    dnn: "iot".into(),
                    sgi: Some(part("gw", gateway % self.gateways.len())),
                }),
            }],
            objectives: Default::default(),
            settings: Settings::new(),
        });
        Network {
            snssai: None,
            access,
            transport: transport.collect(),
            core,
            on_unenforced: Default::default(),
        }
    }
}
