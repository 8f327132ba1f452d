//! What a document means where it is silent.

use super::{
    Capacity, Connection, Device, Gateway, InfrastructureName, Network, PartName, Placement, Profile, Slice,
    SliceSpec, Snssai,
};

impl Slice {
    /// The slice with every default written out: a part's place, a device's gateway, a gateway's server, a profile of its own
    /// for a device with resources in place, the S-NSSAI of the service type.
    ///
    /// A default that is not unique (two gateways, two servers) is left out; validation has refused that before.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        let SliceSpec { places, gateways, servers, profiles, devices, network, service, .. } = &mut self.spec;
        for gateway in gateways.iter_mut().filter(|gateway| gateway.external.is_none()) {
            gateway.placement.settle(places.edge.as_ref());
        }
        for server in servers.iter_mut().filter(|server| server.external.is_none()) {
            server.placement.settle(places.cloud.as_ref());
        }
        let core = network.as_mut().and_then(|network| network.core.as_mut());
        let functions = core.into_iter().flat_map(|core| &mut core.functions);
        for function in functions.filter(|function| function.physical.is_none()) {
            function.placement.settle(places.cloud.as_ref());
        }
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

impl Placement {
    /// Takes `place` where nothing is asked for.
    fn settle(&mut self, place: Option<&InfrastructureName>) {
        let wishes = Self { needs: Capacity::default(), ..self.clone() };
        if wishes.is_default() {
            self.infrastructure = place.cloned();
        }
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

#[cfg(test)]
mod tests {
    use crate::model::{Documents, Source};

    fn placements(spec: &str) -> Vec<Option<String>> {
        let text =
            format!("apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: {{ name: a }}\nspec:\n{spec}");
        let (_, slices) = Documents::read(vec![Source::new("a.yaml", text)]).unwrap().into_parts();
        let spec = slices.into_iter().next().unwrap().with_defaults().spec;
        let gateways = spec.gateways.into_iter().map(|gateway| gateway.placement);
        let all = gateways.chain(spec.servers.into_iter().map(|server| server.placement));
        all.map(|placement| placement.infrastructure.map(|name| name.to_string())).collect()
    }

    #[test]
    fn parts_that_ask_for_nothing_go_to_the_places_of_the_slice() {
        let spec = "  places: { edge: rpi, cloud: pc }
  gateways:
    - { name: gw, servers: [ { name: hub } ] }
    - { name: far, servers: [ { name: hub } ], placement: { tier: edge } }
    - { name: near, servers: [ { name: hub } ], placement: { infrastructure: desk } }
  servers:
    - { name: hub, placement: { needs: { memory: 1GiB } } }
    - { name: other, external: { endpoints: {}, credentials: other-admin } }
";
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(placements(spec), [named("rpi"), None, named("desk"), named("pc"), None]);
        assert_eq!(placements("  gateways: [ { name: gw } ]\n"), [None]);
    }
}
