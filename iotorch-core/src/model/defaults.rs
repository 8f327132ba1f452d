//! What a document means where it is silent.

use super::{Connection, Device, Gateway, Network, PartName, Profile, Slice, SliceSpec, Snssai};

impl Slice {
    /// The slice with every default written out: a device's gateway, a gateway's server, a profile of its own for a device
    /// with resources in place, the S-NSSAI of the service type.
    ///
    /// A default that is not unique (two gateways, two servers) is left out; validation has refused that before.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        let SliceSpec { gateways, servers, profiles, devices, network, service, .. } = &mut self.spec;
        if let [server] = servers.as_slice() {
            for gateway in
                gateways.iter_mut().filter(|gateway| gateway.servers.is_empty() && gateway.sinks.is_empty())
            {
                gateway.servers.push(Connection::builder().name(server.name.clone()).build());
            }
        }
        let only_gateway = only(gateways);
        for device in devices {
            device.gateway = device.gateway.take().or_else(|| only_gateway.clone());
            move_resources(device, profiles);
        }
        if let (Some(Network { snssai: snssai @ None, .. }), Some(service)) = (network, service) {
            *snssai = Some(Snssai { sst: service.service_type.sst(), sd: None });
        }
        self
    }
}

fn only(gateways: &[Gateway]) -> Option<PartName> {
    match gateways {
        [gateway] => Some(gateway.name.clone()),
        _ => None,
    }
}

/// Gives a device with resources written in place a profile of its own name.
fn move_resources(device: &mut Device, profiles: &mut Vec<Profile>) {
    if device.profile.is_none() && !device.resources.is_empty() {
        let resources = std::mem::take(&mut device.resources);
        profiles.push(Profile { name: device.name.clone(), resources });
        device.profile = Some(device.name.clone());
    }
}
