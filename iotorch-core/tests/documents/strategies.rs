//! Slices as nobody would write them, but all of them right.

use std::{collections::BTreeSet, net::Ipv4Addr};

use iotorch_core::{model::*, resource::NetAddress};
use proptest::{collection as many, option::of as maybe, prelude::*, sample::Index, string::string_regex};
use serde_json::Value;

/// Names, among them those that YAML would take for something else.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?",
        1 => prop::sample::select(vec!["no", "on", "true", "null", "y", "1", "007", "0x1f", "1e3", "0o7", "12-30"])
            .prop_map(str::to_owned),
    ]
}

fn names(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<PartName>> {
    many::btree_set(name(), count)
        .prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>())
        .prop_shuffle()
}

/// Text of every kind of character and form.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 :#,'\"{}&*!|>%@`\\[\\]-]{0,100}",
        string_regex("(?s).{0,20}").unwrap(),
        "([a-z ]{0,12}\n){0,4}[a-z ]{0,3}",
        name(),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e6..1e6_f64, prop::num::f64::NORMAL, (-100..100_i32).prop_map(f64::from)]
}

fn labels() -> impl Strategy<Value = Labels> {
    many::btree_map(text(), text(), 0..3)
}

fn settings() -> impl Strategy<Value = Settings> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        number().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            many::vec(inner.clone(), 0..4).prop_map(Value::from),
            many::btree_map(text(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    many::btree_map(text(), value, 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn time() -> impl Strategy<Value = TimeSpan> {
    (0..100_000_000_u64).prop_map(TimeSpan::from_millis)
}

fn percent() -> impl Strategy<Value = Percent> {
    prop::sample::select(vec!["0%", "99.9%", "99.9999999%", "100%", "12.5%"])
        .prop_map(|text| text.parse().unwrap())
}

fn bandwidth() -> impl Strategy<Value = BandwidthObjective> {
    let rate = || maybe((0..u64::MAX).prop_map(Bandwidth::from_bits_per_second));
    (rate(), rate()).prop_map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => BandwidthObjective { guaranteed: Some(a.min(b)), max: Some(a.max(b)) },
        (guaranteed, max) => BandwidthObjective { guaranteed, max },
    })
}

fn address() -> impl Strategy<Value = NetAddress> {
    (text(), 1..u16::MAX, any::<bool>()).prop_map(|(host, port, tls)| NetAddress { host, port, tls })
}

fn location() -> impl Strategy<Value = Location> {
    (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| Location { latitude, longitude })
}

fn capacity() -> impl Strategy<Value = Capacity> {
    let bytes = || maybe(any::<u64>().prop_map(ByteSize::from_bytes));
    (maybe(any::<u64>().prop_map(Cpu::from_millis)), bytes(), bytes())
        .prop_map(|(cpu, memory, storage)| Capacity { cpu, memory, storage })
}

fn placement() -> impl Strategy<Value = Placement> {
    let named = name().prop_filter_map("a reserved word", |name| {
        Some(Placement { infrastructure: Some(name.parse().ok()?), ..Placement::default() })
    });
    let tier = maybe(prop_oneof![Just(Tier::Edge), Just(Tier::Cloud)]);
    let within = maybe(any::<u64>().prop_map(Distance::from_metres));
    let near = maybe((location(), within).prop_map(|(location, within)| Near { location, within }));
    let chosen = (tier, labels(), near).prop_map(|(tier, labels, near)| Placement {
        tier,
        labels,
        near,
        ..Placement::default()
    });
    (prop_oneof![named, chosen], capacity()).prop_map(|(placement, needs)| Placement { needs, ..placement })
}

fn chart() -> impl Strategy<Value = Chart> {
    let files = many::vec(text(), 0..3);
    (text(), maybe(text()), maybe(text()), files, settings()).prop_map(
        |(source, version, digest, values_files, values)| Chart {
            source,
            version,
            digest,
            values_files,
            values,
        },
    )
}

fn external() -> impl Strategy<Value = External> {
    (many::btree_map(text(), address(), 0..3), "[a-z]{1,9}(#[1-9])?")
        .prop_map(|(endpoints, secret)| External { endpoints, credentials: secret.parse().unwrap() })
}

fn resource() -> impl Strategy<Value = ProfileResource> {
    let access = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::ReadWrite)];
    let kind = prop_oneof![
        Just(ValueType::Float),
        Just(ValueType::Integer),
        Just(ValueType::Bool),
        Just(ValueType::String)
    ];
    ("[A-Za-z0-9][-:._A-Za-z0-9]{0,6}", kind, maybe(text()), maybe((number(), number())), access).prop_map(
        |(name, value_type, unit, range, access)| ProfileResource {
            name: name.parse().unwrap(),
            value_type,
            unit,
            range: range
                .filter(|_| matches!(value_type, ValueType::Float | ValueType::Integer))
                .map(|(a, b)| Range(a.min(b), a.max(b)))
                .filter(|Range(low, high)| value_type == ValueType::Float || low.ceil() <= high.floor()),
            access,
        },
    )
}

fn resources() -> impl Strategy<Value = Vec<ProfileResource>> {
    many::vec(resource(), 1..4).prop_map(|mut resources| {
        let mut seen = BTreeSet::new();
        resources.retain(|resource| seen.insert(resource.name.clone()));
        resources
    })
}

fn driver() -> impl Strategy<Value = DriverName> {
    name().prop_map(|name| name.parse().unwrap())
}

fn objectives() -> impl Strategy<Value = Objectives> {
    let isolation = maybe(prop_oneof![Just(Isolation::Traffic), Just(Isolation::Dedicated)]);
    let encryption = maybe(prop_oneof![Just(Encryption::Required), Just(Encryption::None)]);
    (maybe(time()), maybe(percent()), isolation, encryption, maybe(any::<u16>())).prop_map(
        |(delay, loss, isolation, encryption, mtu)| Objectives {
            delay,
            loss,
            isolation,
            encryption,
            mtu,
            ..Objectives::default()
        },
    )
}

fn gateway(name: PartName, servers: Vec<PartName>) -> impl Strategy<Value = Gateway> {
    let several = servers.len() > 1;
    let least = usize::from(several);
    let most = servers.len();
    let connection = (maybe(time()), maybe(bandwidth()));
    let connections = (prop::sample::subsequence(servers, least..=most), many::vec(connection, most))
        .prop_map(|(names, facts)| {
            let join = |(name, (latency, bandwidth))| Connection { name, latency, bandwidth };
            names.into_iter().zip(facts).map(join).collect::<Vec<_>>()
        });
    (driver(), placement(), maybe(chart()), maybe(external()), connections, settings()).prop_map(
        move |(application, placement, chart, external, servers, settings)| {
            let runs = external.is_some();
            Gateway {
                name: name.clone(),
                application,
                placement: if runs { Placement::default() } else { placement },
                chart: chart.filter(|_| !runs),
                external,
                servers,
                sinks: Vec::new(),
                settings,
            }
        },
    )
}

fn function(name: PartName, exits: Vec<PartName>) -> impl Strategy<Value = NetworkFunction> {
    let physical = any::<u32>().prop_map(|bits| Physical { address: Ipv4Addr::from_bits(bits).into() });
    (maybe(physical), placement(), chart(), maybe((text(), maybe(any::<Index>())))).prop_map(
        move |(physical, placement, chart, binding)| {
            let stands = physical.is_some();
            NetworkFunction {
                name: name.clone(),
                function: FunctionType::Upf,
                placement: if stands { Placement::default() } else { placement },
                chart: (!stands).then_some(chart),
                physical,
                binding: binding.map(|(dnn, exit)| FunctionBinding {
                    dnn,
                    sgi: exit.filter(|_| !exits.is_empty()).map(|exit| exit.get(&exits).clone()),
                }),
            }
        },
    )
}

fn segment(ends: [PartName; 2]) -> impl Strategy<Value = TransportSegment> {
    (driver(), maybe(bandwidth()), objectives(), settings()).prop_map(
        move |(driver, bandwidth, objectives, settings)| TransportSegment {
            between: ends.clone(),
            driver,
            bandwidth,
            objectives,
            settings,
        },
    )
}

/// A network over `parts`, of which the last `functions` are network functions; each leads only to earlier parts.
fn network(parts: Vec<PartName>, functions: usize) -> impl Strategy<Value = Network> {
    let pairs = (1..parts.len())
        .flat_map(|b| (0..b).map(move |a| (a, b)))
        .map(|(a, b)| [parts[a].clone(), parts[b].clone()])
        .collect::<Vec<_>>();
    let most = pairs.len().min(3);
    let transport = prop::sample::subsequence(pairs, 0..=most)
        .prop_flat_map(|pairs| pairs.into_iter().map(segment).collect::<Vec<_>>());
    let first = parts.len() - functions;
    let functions =
        (first..parts.len()).map(|at| function(parts[at].clone(), parts[..at].to_vec())).collect::<Vec<_>>();
    let core = (functions, driver(), objectives()).prop_map(|(functions, driver, objectives)| CoreSegment {
        driver,
        functions,
        objectives,
        settings: Settings::new(),
    });
    let sd = maybe("[0-9a-f]{6}").prop_map(|sd| sd.map(|sd| sd.parse().unwrap()));
    let snssai = maybe((any::<u8>(), sd).prop_map(|(sst, sd)| Snssai { sst, sd }));
    let access = maybe((driver(), objectives()).prop_map(|(driver, objectives)| AccessSegment {
        technology: AccessTechnology::NbIot,
        driver,
        objectives,
        settings: Settings::new(),
    }));
    let refuse = prop_oneof![Just(OnUnenforced::Warn), Just(OnUnenforced::Refuse)];
    (snssai, access, transport, core, refuse).prop_map(|(snssai, access, transport, core, on_unenforced)| {
        Network { snssai, access, transport, core: Some(core), on_unenforced }
    })
}

fn device(name: PartName, gateways: Vec<PartName>, profiles: Vec<PartName>) -> impl Strategy<Value = Device> {
    let protocol =
        prop_oneof![Just(DeviceProtocol::Mqtt), Just(DeviceProtocol::Http), Just(DeviceProtocol::Coap)];
    let facts = (protocol, labels(), settings(), resources());
    (any::<Index>(), maybe(any::<Index>()), facts).prop_map(move |(gateway, profile, facts)| {
        let (protocol, labels, settings, resources) = facts;
        let profile = profile.filter(|_| !profiles.is_empty()).map(|at| at.get(&profiles).clone());
        Device {
            name: name.clone(),
            gateway: Some(gateway.get(&gateways).clone()),
            protocol,
            resources: if profile.is_some() { Vec::new() } else { resources },
            profile,
            labels,
            settings,
        }
    })
}

fn places() -> impl Strategy<Value = Places> {
    let place = || maybe(name().prop_map(|name| name.parse().unwrap()));
    (place(), place()).prop_map(|(edge, cloud)| Places { edge, cloud })
}

/// Any slice that is right.
pub(crate) fn slice() -> impl Strategy<Value = Slice> {
    let counts = (1..3_usize, 0..3_usize, 0..3_usize, 0..3_usize, 0..4_usize);
    (names(7..10), names(8..10), counts).prop_flat_map(|(parts, things, counts)| {
        let (gateways, servers, functions, profiles, devices) = counts;
        let all = parts[..gateways + servers + functions].to_vec();
        let gateway_names = parts[..gateways].to_vec();
        let server_names = parts[gateways..gateways + servers].to_vec();
        let profile_names = things[..profiles].to_vec();
        let each_gateway = gateway_names.iter().map(|name| gateway(name.clone(), server_names.clone()));
        let each_server = server_names.clone().into_iter().map(|name| {
            (driver(), placement(), settings()).prop_map(move |(application, placement, settings)| Server {
                name: name.clone(),
                application,
                placement,
                chart: None,
                external: None,
                settings,
            })
        });
        let each_device = things[profiles..profiles + devices]
            .iter()
            .map(|name| device(name.clone(), gateway_names.clone(), profile_names.clone()));
        let each_profile = profile_names
            .clone()
            .into_iter()
            .map(|name| resources().prop_map(move |resources| Profile { name: name.clone(), resources }));
        let policy =
            prop_oneof![Just(FailurePolicy::Rollback), Just(FailurePolicy::Pause), Just(FailurePolicy::Keep)];
        let offline = maybe(time()).prop_map(|limit| Offline { policy: OnOffline::Wait, limit });
        let service = maybe((maybe(any::<u32>()), maybe(time()), maybe(percent())).prop_map(
            |(devices, latency, availability)| CommunicationService {
                service_type: ServiceType::Miot,
                devices,
                rate: None,
                latency,
                availability,
            },
        ));
        (
            name(),
            (policy, offline, service, places(), (capacity(), capacity())),
            each_gateway.collect::<Vec<_>>(),
            each_server.collect::<Vec<_>>(),
            each_profile.collect::<Vec<_>>(),
            each_device.collect::<Vec<_>>(),
            maybe(network(all, functions)),
        )
            .prop_map(|(name, head, gateways, servers, profiles, devices, network)| {
                let (on_failure, offline, service, places, (edge, cloud)) = head;
                let name = name.parse().unwrap();
                let spec = SliceSpec {
                    service,
                    on_failure,
                    offline,
                    places,
                    quota: Quota { edge, cloud },
                    gateways,
                    servers,
                    profiles,
                    devices,
                    network,
                };
                Slice { name, spec }
            })
    })
}
