//! Numbers for Prometheus. Labels come from the configuration, never from strangers, so there are few of them.

use crate::{
    access::{Protocol, Taken},
    api::{ExportStatus, GatewayStatus, Usage},
};
use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry, Unit},
};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type ByProtocol = [(&'static str, &'static str); 1];

/// What is counted while a gateway or server runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    messages: Counter,
    accepted: Counter,
    rejected: Counter,
    refused_logins: Family<ByProtocol, Counter>,
    refused_requests: Family<ByProtocol, Counter>,
}

impl Counters {
    /// Counts a message and its readings.
    pub(crate) fn message(&self, taken: &Taken) {
        self.messages.inc();
        self.accepted.inc_by(taken.accepted);
        self.rejected.inc_by(taken.rejected.len() as u64);
    }

    pub(crate) fn refused_login(&self, protocol: Protocol) {
        self.refused_logins.get_or_create(&label(protocol)).inc();
    }

    pub(crate) fn refused_request(&self, protocol: Protocol) {
        self.refused_requests.get_or_create(&label(protocol)).inc();
    }
}

const fn label(protocol: Protocol) -> ByProtocol {
    let name = match protocol {
        Protocol::Mqtt => "mqtt",
        Protocol::Http => "http",
        Protocol::Coap => "coap",
        Protocol::Management => "management",
    };
    [("protocol", name)]
}

/// How long commits take: from 50 µs, in memory, to 13 s, on a disk that is about to fail.
pub(crate) fn commit_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}

/// What is answered to one request for metrics.
pub(crate) struct Metrics(Registry);

impl Metrics {
    pub(crate) fn new(
        role: &'static str,
        counters: &Counters,
        commits: &Histogram,
        connections: &[(&'static str, usize)],
    ) -> Self {
        let mut metrics = Self(Registry::with_prefix("iotorch_lite"));
        let build = Info::new([("role", role), ("version", env!("CARGO_PKG_VERSION"))]);
        metrics.add("build", "What this is", build);
        metrics.add("messages", "Messages received from clients", counters.messages.clone());
        metrics.add("readings_accepted", "Readings accepted", counters.accepted.clone());
        metrics.add("readings_rejected", "Readings rejected", counters.rejected.clone());
        metrics.add("refused_logins", "Logins refused", counters.refused_logins.clone());
        metrics.add(
            "refused_requests",
            "Messages, subscriptions and calls refused",
            counters.refused_requests.clone(),
        );
        let open: Vec<_> =
            connections.iter().map(|(protocol, open)| ((*protocol).to_owned(), *open as u64)).collect();
        metrics.gauges("connections", "Open connections of clients", "protocol", &open);
        let unit = Unit::Seconds;
        metrics.0.register_with_unit("store_commit", "Time of commits to the store", unit, commits.clone());
        metrics
    }

    fn add(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }

    /// A number that goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, help, ConstGauge::new(value));
    }

    /// A number that only goes up.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, help, ConstCounter::new(value));
    }

    /// Numbers that go up and down, one for each value of a label.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, label: &'static str, values: &[(String, u64)]) {
        let family = Family::<[(&'static str, String); 1], Gauge<f64, AtomicU64>>::default();
        for (of, value) in values {
            family.get_or_create(&[(label, of.clone())]).set(*value as f64);
        }
        self.add(name, help, family);
    }

    /// Numbers that only go up, one for each value of a label.
    pub(crate) fn counters(&mut self, name: &str, help: &str, label: &'static str, values: &[(String, u64)]) {
        let family = Family::<[(&'static str, String); 1], Counter>::default();
        for (of, value) in values {
            family.get_or_create(&[(label, of.clone())]).inc_by(*value);
        }
        self.add(name, help, family);
    }

    /// What waits at a gateway.
    pub(crate) fn gateway(&mut self, status: &GatewayStatus) {
        self.gauge("devices", "Devices", status.devices.len() as u64);
        let waiting = status.devices.values().map(|device| device.commands_waiting).sum();
        self.gauge("commands_waiting", "Commands that wait for devices", waiting);
        self.gauge("outbox_readings", "Readings in the outbox", status.outbox.records);
        self.gauge("outbox_bytes", "Bytes of readings in the outbox", status.outbox.bytes);
        let help = "Readings dropped because the outbox was full";
        self.counter("outbox_dropped_readings", help, status.outbox.dropped);
        let of = |pick: fn(&ExportStatus) -> u64| -> Vec<_> {
            status.exports.iter().map(|(name, export)| (name.clone(), pick(export))).collect()
        };
        let help = "Whether the export is logged in at its target";
        self.gauges("export_connected", help, "export", &of(|export| u64::from(export.connected)));
        let help = "Readings the target has not acknowledged";
        self.gauges("export_pending_readings", help, "export", &of(|export| export.pending));
        let help = "Readings the target can never take";
        self.counters("export_unsendable_readings", help, "export", &of(|export| export.unsendable));
        if let Some(bus) = &status.bus {
            self.gauge("bus_connected", "Whether the bus is read", u64::from(bus.connected));
            self.counter("bus_messages", "Messages that came over the bus", bus.messages);
            self.counter("bus_readings", "Readings taken from the bus", bus.taken);
            self.counter(
                "bus_text_readings",
                "Readings taken as text because SenML has no better",
                bus.as_text,
            );
            self.counter("bus_refused_readings", "Readings and messages of the bus not taken", bus.refused);
            self.counter("bus_repeated_events", "Events of the bus that came again", bus.repeated);
        }
        let help = "Readings the target has acknowledged";
        self.counters("export_acknowledged_readings", help, "export", &of(|export| export.acknowledged));
    }

    /// What tenants use.
    pub(crate) fn usage(&mut self, tenants: &BTreeMap<String, Usage>) {
        let of = |pick: fn(&Usage) -> u64| -> Vec<_> {
            tenants.iter().map(|(tenant, usage)| (tenant.clone(), pick(usage))).collect()
        };
        self.gauges("stored_messages", "Messages stored", "tenant", &of(|usage| usage.messages));
        self.gauges("stored_bytes", "Bytes of messages stored", "tenant", &of(|usage| usage.bytes));
        let help = "Messages dropped because too many bytes were stored";
        self.counters("dropped_messages", help, "tenant", &of(|usage| usage.dropped));
    }
}

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &self.0);
        ([(CONTENT_TYPE, CONTENT)], text).into_response()
    }
}
