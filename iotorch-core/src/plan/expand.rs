//! Expansion: from a slice's document to the graph of its resources.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::graph::{Graph, Node};
use crate::{
    declared::DECLARED,
    driver::Drivers,
    error::{Error, ErrorKind, Result},
    model::{
        BandwidthObjective, Connection, Device, DriverName, Gateway, Infrastructure, InfrastructureName,
        Network, Objectives, PartName, Server, Slice, TransportSegment,
    },
    resource::{
        ApplicationSpec, AttachmentSpec, CredentialSpec, DeviceSpec, ExportSpec, ExportTarget, KindName,
        Layer, PortSpec, ProfileSpec, ResourceId, Role, SegmentEndpoint, SegmentSpec, SpaceSpec, Spec,
        TenantSpec, WorkloadSpec,
    },
    secret::SecretRef,
};

/// What expansion needs besides the document.
pub(crate) struct Surroundings<'a> {
    pub(crate) drivers: &'a Drivers,
    pub(crate) infrastructures: &'a BTreeMap<InfrastructureName, Arc<Infrastructure>>,
    /// Where each deployed part goes.
    pub(crate) places: BTreeMap<PartName, InfrastructureName>,
    /// The addresses of the nodes of each place that was surveyed.
    pub(crate) nodes: &'a BTreeMap<InfrastructureName, Vec<IpAddr>>,
    /// The generation of the credential that a holder is to have, or of the secret of a tenant.
    pub(crate) generation: &'a dyn Fn(&ResourceId) -> u32,
}

/// Expands a slice whose defaults are written out.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a driver that is not there, [`ErrorKind::Unexpected`] for a reference that validation would have refused.
pub(crate) fn expand(slice: &Slice, around: &Surroundings<'_>) -> Result<Graph> {
    let mut expansion = Expansion { slice, around, graph: Graph::default(), segments: segments(slice) };
    expansion.network();
    for (index, server) in slice.spec.servers.iter().enumerate() {
        expansion.server(server, &format!("/spec/servers/{index}"))?;
    }
    for (index, gateway) in slice.spec.gateways.iter().enumerate() {
        expansion.gateway(gateway, &format!("/spec/gateways/{index}"))?;
    }
    for (index, device) in slice.spec.devices.iter().enumerate() {
        expansion.device(device, &format!("/spec/devices/{index}"))?;
    }
    expansion.functions()?;
    expansion.ports()?;
    Ok(expansion.graph)
}

/// A segment of the slice before it becomes a resource.
struct Joint<'a> {
    id: ResourceId,
    parts: Vec<&'a PartName>,
}

/// The segments of a slice with the parts on them.
fn segments(slice: &Slice) -> Vec<Joint<'_>> {
    let Some(network) = &slice.spec.network else { return Vec::new() };
    let mut segments = Vec::new();
    if network.access.is_some() {
        let parts = slice.spec.gateways.iter().map(|gateway| &gateway.name).collect();
        segments.push(Joint { id: ResourceId::access(&slice.name), parts });
    }
    for transport in &network.transport {
        let id = ResourceId::transport(&slice.name, &transport.name());
        segments.push(Joint { id, parts: transport.between.iter().collect() });
    }
    if let Some(core) = &network.core {
        let parts = core.functions.iter().map(|function| &function.name).collect();
        segments.push(Joint { id: ResourceId::core(&slice.name), parts });
    }
    segments
}

struct Expansion<'a> {
    slice: &'a Slice,
    around: &'a Surroundings<'a>,
    graph: Graph,
    segments: Vec<Joint<'a>>,
}

/// How a gateway or server is deployed, whichever it is.
struct Software<'a> {
    name: &'a PartName,
    role: Role,
    application: &'a DriverName,
    chart: Option<&'a crate::model::Chart>,
    external: Option<&'a crate::model::External>,
    settings: &'a crate::model::Settings,
    needs: crate::model::Capacity,
}

impl Expansion<'_> {
    fn add(
        &mut self,
        id: ResourceId,
        driver: &DriverName,
        spec: impl Into<Spec>,
        uses: Vec<ResourceId>,
        origin: &str,
    ) {
        let node =
            Node { driver: driver.clone(), spec: Arc::new(spec.into()), uses, origin: origin.to_owned() };
        self.graph.insert(id, node);
    }

    /// A version of the secret that is made for the resource of `id`.
    fn secret(id: &ResourceId, version: u32) -> Result<SecretRef> {
        SecretRef::new(&id.own_secret().unwrap_or_default(), version)
    }

    /// A name as an application knows it: plain in the slice's own, qualified in one that others use as well.
    fn qualified(&self, name: &str, application: &ResourceId) -> String {
        if application.place() == "external" {
            format!("{}.{name}", self.slice.name)
        } else {
            name.to_owned()
        }
    }

    fn has_kind(&self, driver: &DriverName, kind: KindName) -> bool {
        self.around.drivers.info(driver).is_some_and(|info| info.kinds.contains(&kind))
    }

    fn logs_in(&self, device: &DeviceSpec, application: &ResourceId, driver: &DriverName) -> bool {
        let node = self.graph.nodes.get(application).map(|node| &*node.spec);
        match (self.around.drivers.find(driver), node) {
            (Ok(known), Some(Spec::Application(gateway))) if self.has_kind(driver, KindName::Credential) => {
                known.logs_in(device, gateway)
            }
            _ => false,
        }
    }

    fn segments_of(&self, part: &PartName) -> Vec<ResourceId> {
        self.segments
            .iter()
            .filter(|joint| joint.parts.contains(&part))
            .map(|joint| joint.id.clone())
            .collect()
    }

    fn place(&self, part: &PartName) -> Result<&Infrastructure> {
        let name = self.around.places.get(part);
        name.and_then(|name| self.around.infrastructures.get(name)).map(AsRef::as_ref).ok_or_else(|| {
            Error::new(
                ErrorKind::Unexpected,
                format!("cannot expand slice \"{}\": \"{part}\" has no place", self.slice.name),
            )
        })
    }

    /// The id of the workload of `part`.
    fn workload_id(&self, part: &PartName) -> Result<ResourceId> {
        Ok(ResourceId::space(&self.slice.name, &self.place(part)?.name).workload(part))
    }

    /// The space on the place of `part`, and the id of its workload in it.
    fn workload(&mut self, part: &PartName, spec: WorkloadSpec, origin: &str) -> Result<ResourceId> {
        let place = self.place(part)?;
        let driver = place.spec.driver.clone();
        let space = ResourceId::space(&self.slice.name, &place.name);
        let quota = self.slice.spec.quota.of(place.spec.tier);
        let own = SpaceSpec { name: self.slice.name.to_string(), quota };
        self.add(space.clone(), &driver, own, Vec::new(), "/spec");
        let id = space.workload(part);
        let uses = self.segments_of(part);
        self.add(id.clone(), &driver, spec, uses, origin);
        Ok(id)
    }

    fn software(&mut self, software: &Software<'_>, origin: &str) -> Result<ResourceId> {
        let driver = software.application;
        self.around.drivers.find(driver)?;
        let (id, admin) = match software.external {
            Some(external) => {
                (ResourceId::external(&self.slice.name, software.name), external.credentials.clone())
            }
            None => {
                let admin = Self::secret(&self.workload_id(software.name)?, 1)?;
                let workload = WorkloadSpec {
                    name: software.name.to_string(),
                    role: software.role,
                    application: Some(driver.clone()),
                    chart: software.chart.cloned(),
                    physical: None,
                    needs: software.needs,
                    settings: software.settings.clone(),
                    admin: Some(admin.clone()),
                };
                (self.workload(software.name, workload, origin)?.application(), admin)
            }
        };
        let application = ApplicationSpec {
            name: software.name.to_string(),
            role: software.role,
            application: driver.clone(),
            external: software.external.cloned(),
            admin,
            settings: software.settings.clone(),
        };
        self.add(id.clone(), driver, application, Vec::new(), origin);
        Ok(id)
    }

    /// The application of a gateway or server.
    fn application_of(&self, part: &PartName, external: bool) -> Result<ResourceId> {
        if external {
            return Ok(ResourceId::external(&self.slice.name, part));
        }
        Ok(self.workload_id(part)?.application())
    }

    fn server(&mut self, server: &Server, origin: &str) -> Result<()> {
        let software = Software {
            name: &server.name,
            role: Role::Server,
            application: &server.application,
            chart: server.chart.as_ref(),
            external: server.external.as_ref(),
            settings: &server.settings,
            needs: server.placement.needs,
        };
        let id = self.software(&software, origin)?.tenant();
        let generation = (self.around.generation)(&id);
        let secret = Self::secret(&id, generation)?;
        let tenant = TenantSpec::new(self.slice.name.to_string(), secret);
        self.add(id, &server.application, tenant, Vec::new(), origin);
        Ok(())
    }

    fn gateway(&mut self, gateway: &Gateway, origin: &str) -> Result<()> {
        let software = Software {
            name: &gateway.name,
            role: Role::Gateway,
            application: &gateway.application,
            chart: gateway.chart.as_ref(),
            external: gateway.external.as_ref(),
            settings: &gateway.settings,
            needs: gateway.placement.needs,
        };
        let application = self.software(&software, origin)?;
        for (index, connection) in gateway.servers.iter().enumerate() {
            self.connection(gateway, &application, connection, &format!("{origin}/servers/{index}"))?;
        }
        for (index, sink) in gateway.sinks.iter().enumerate() {
            let name = self.qualified(sink.name.as_str(), &application);
            let export = ExportSpec { name, target: ExportTarget::Sink(sink.clone()) };
            let origin = format!("{origin}/sinks/{index}");
            self.add(application.export(&sink.name), &gateway.application, export, Vec::new(), &origin);
        }
        Ok(())
    }

    fn connection(
        &mut self,
        gateway: &Gateway,
        application: &ResourceId,
        to: &Connection,
        origin: &str,
    ) -> Result<()> {
        let server =
            self.slice.spec.servers.iter().find(|server| server.name == to.name).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unexpected,
                    format!("cannot expand slice \"{}\": no server \"{}\"", self.slice.name, to.name),
                )
            })?;
        let host = self.application_of(&server.name, server.external.is_some())?;
        let attachment = host.tenant().attachment(&gateway.name);
        let spec = AttachmentSpec::new(self.qualified(gateway.name.as_str(), &host));
        self.add(attachment.clone(), &server.application, spec, Vec::new(), origin);
        let generation = (self.around.generation)(&attachment);
        let credential = attachment.credential(generation);
        let secret = Self::secret(&credential, generation)?;
        self.add(
            credential.clone(),
            &server.application,
            CredentialSpec { generation, secret },
            Vec::new(),
            origin,
        );
        let mut uses = vec![attachment, credential];
        uses.extend(self.segments.iter().flat_map(|joint| {
            let between = joint.parts.contains(&&gateway.name) && joint.parts.contains(&&server.name);
            let ports = [joint.id.port(&server.name), joint.id.port(&gateway.name)];
            between.then_some(ports).into_iter().flatten()
        }));
        let name = self.qualified(server.name.as_str(), application);
        let export = ExportSpec { name, target: ExportTarget::Server };
        self.add(application.export(&server.name), &gateway.application, export, uses, origin);
        Ok(())
    }

    fn device(&mut self, device: &Device, origin: &str) -> Result<()> {
        let missing = |what: &str| {
            Error::new(
                ErrorKind::Unexpected,
                format!(
                    "cannot expand slice \"{}\": device \"{}\" has no {what}",
                    self.slice.name, device.name
                ),
            )
        };
        let spec = &self.slice.spec;
        let gateway = device
            .gateway
            .as_ref()
            .and_then(|name| spec.gateways.iter().find(|gateway| gateway.name == *name));
        let gateway = gateway.ok_or_else(|| missing("gateway"))?;
        let profile = device
            .profile
            .as_ref()
            .and_then(|name| spec.profiles.iter().find(|profile| profile.name == *name));
        let profile = profile.ok_or_else(|| missing("profile"))?;
        let application = self.application_of(&gateway.name, gateway.external.is_some())?;
        let profile_id = application.profile(&profile.name);
        let profile_name = self.qualified(profile.name.as_str(), &application);
        let resources = profile.resources.clone();
        self.add(
            profile_id.clone(),
            &gateway.application,
            ProfileSpec { name: profile_name.clone(), resources },
            Vec::new(),
            origin,
        );
        let id = application.device(&device.name);
        let wanted = DeviceSpec {
            name: self.qualified(device.name.as_str(), &application),
            protocol: device.protocol,
            profile: profile_name,
            labels: device.labels.clone(),
            settings: device.settings.clone(),
        };
        let logs_in = self.logs_in(&wanted, &application, &gateway.application);
        self.add(id.clone(), &gateway.application, wanted, vec![profile_id], origin);
        if logs_in {
            let generation = (self.around.generation)(&id);
            let credential = id.credential(generation);
            let secret = Self::secret(&credential, generation)?;
            let wanted = CredentialSpec { generation, secret };
            self.add(credential, &gateway.application, wanted, Vec::new(), origin);
        }
        Ok(())
    }

    fn network(&mut self) {
        let Some(network) = &self.slice.spec.network else { return };
        if let Some(access) = &network.access {
            let id = ResourceId::access(&self.slice.name);
            let layer = Layer::Access(access.technology);
            let spec = self.segment(network, &id, layer, None, access.objectives, &access.settings);
            self.add(id, &access.driver, spec, Vec::new(), "/spec/network/access");
        }
        for (index, transport) in network.transport.iter().enumerate() {
            let id = ResourceId::transport(&self.slice.name, &transport.name());
            let (bandwidth, objectives) = self.carried(transport);
            let spec =
                self.segment(network, &id, Layer::Transport, bandwidth, objectives, &transport.settings);
            self.add(id, &transport.driver, spec, Vec::new(), &format!("/spec/network/transport/{index}"));
        }
        if let Some(core) = &network.core {
            let id = ResourceId::core(&self.slice.name);
            let spec = self.segment(network, &id, Layer::Core, None, core.objectives, &core.settings);
            self.add(id, &core.driver, spec, Vec::new(), "/spec/network/core");
        }
    }

    /// What a transport segment must achieve: its own objectives, else those of the connections that it carries.
    fn carried(&self, transport: &TransportSegment) -> (Option<BandwidthObjective>, Objectives) {
        let connections = self.slice.spec.gateways.iter().flat_map(|gateway| {
            let carried = |to: &&Connection| {
                transport.between.contains(&gateway.name) && transport.between.contains(&to.name)
            };
            gateway.servers.iter().filter(carried)
        });
        let (mut bandwidth, mut objectives) = (transport.bandwidth, transport.objectives);
        for connection in connections {
            bandwidth = bandwidth.or(connection.bandwidth);
            objectives.delay = objectives.delay.or(connection.latency);
        }
        (bandwidth, objectives)
    }

    fn segment(
        &self,
        network: &Network,
        id: &ResourceId,
        layer: Layer,
        bandwidth: Option<BandwidthObjective>,
        objectives: Objectives,
        settings: &crate::model::Settings,
    ) -> SegmentSpec {
        let parts = self.segments.iter().find(|joint| joint.id == *id).map(|joint| joint.parts.as_slice());
        let endpoint = |part: &&PartName| {
            let infrastructure = self.around.places.get(*part).cloned();
            let nodes = infrastructure.as_ref().and_then(|name| self.around.nodes.get(name)).cloned();
            SegmentEndpoint { part: (*part).clone(), infrastructure, nodes: nodes.unwrap_or_default() }
        };
        SegmentSpec {
            layer,
            snssai: network.snssai,
            endpoints: parts.unwrap_or_default().iter().map(endpoint).collect(),
            bandwidth,
            objectives,
            on_unenforced: network.on_unenforced,
            settings: settings.clone(),
        }
    }

    fn functions(&mut self) -> Result<()> {
        let functions = self.slice.spec.network.as_ref().and_then(|network| network.core.as_ref());
        for (index, function) in functions.into_iter().flat_map(|core| core.functions.iter().enumerate()) {
            let origin = format!("/spec/network/core/functions/{index}");
            let spec = WorkloadSpec {
                name: function.name.to_string(),
                role: Role::Function,
                application: None,
                chart: function.chart.clone(),
                physical: function.physical.clone(),
                needs: function.placement.needs,
                settings: crate::model::Settings::new(),
                admin: None,
            };
            if function.physical.is_some() {
                let id = ResourceId::physical(&self.slice.name, &function.name);
                let uses = self.segments_of(&function.name);
                self.add(id, &DriverName::literal(DECLARED), spec, uses, &origin);
            } else {
                self.workload(&function.name, spec, &origin)?;
            }
        }
        Ok(())
    }

    /// The workload of a part, where it has one.
    fn workload_of(&self, part: &PartName) -> Option<ResourceId> {
        let physical = ResourceId::physical(&self.slice.name, part);
        if self.graph.nodes.contains_key(&physical) {
            return Some(physical);
        }
        let place = self.around.places.get(part)?;
        Some(ResourceId::space(&self.slice.name, place).workload(part))
    }

    fn ports(&mut self) -> Result<()> {
        let Some(network) = &self.slice.spec.network else { return Ok(()) };
        for joint in std::mem::take(&mut self.segments) {
            let Some(node) = self.graph.nodes.get(&joint.id) else { continue };
            let (driver, origin) = (node.driver.clone(), node.origin.clone());
            for part in joint.parts {
                let function = network
                    .core
                    .iter()
                    .flat_map(|core| &core.functions)
                    .find(|function| function.name == *part);
                let binding = function.and_then(|function| function.binding.clone());
                let exit = binding.as_ref().and_then(|binding| binding.sgi.as_ref());
                let uses =
                    self.workload_of(part).into_iter().chain(exit.and_then(|exit| self.workload_of(exit)));
                let uses = uses.collect();
                let spec = PortSpec { part: part.clone(), binding, snssai: network.snssai };
                self.add(joint.id.port(part), &driver, spec, uses, &origin);
            }
        }
        Ok(())
    }
}
