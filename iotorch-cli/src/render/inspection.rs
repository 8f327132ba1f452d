//! How infrastructures are.

use iotorch_core::{
    Cause, ErrorKind, NodeState,
    model::{ByteSize, Capacity, Cpu},
};

use super::table::table;
use crate::{
    commands::infra::{check::Checked, list::Listed},
    screen::Ink,
};

/// The longest state that a table shows; `infra check` has all of it.
const LONGEST_STATE: usize = 60;

/// The width of what stands before the facts.
const WIDTH: usize = 12;

/// The infrastructures as a table.
pub(crate) fn list(all: &[Listed]) -> String {
    if all.is_empty() {
        return "no infrastructures".into();
    }
    table(
        ["INFRASTRUCTURE", "DRIVER", "TIER", "STATE", "VERSION", "NODES", "SLICES"],
        all.iter().map(|Listed { checked, slices }| {
            let inspection = checked.inspection.as_ref();
            let nodes = inspection.filter(|seen| !seen.nodes.is_empty());
            [
                checked.name.to_string(),
                checked.driver.to_string(),
                checked.tier.map_or_else(|| "-".into(), |tier| tier.to_string()),
                shortened(&state(checked)),
                inspection.map_or_else(|| "-".into(), |seen| seen.version.clone()),
                nodes.map_or_else(
                    || "-".into(),
                    |seen| format!("{}/{}", seen.ready_nodes(), seen.nodes.len()),
                ),
                slices.len().to_string(),
            ]
        }),
    )
}

fn state(checked: &Checked) -> String {
    match (&checked.cause, checked.warnings()) {
        (Some(cause), _) => format!("{}: {}", how(cause), cause.root()),
        (None, []) => "Ready".into(),
        (None, [warning]) => format!("Ready, but {warning}"),
        (None, warnings) => format!("Ready, {} warnings", warnings.len()),
    }
}

fn how(cause: &Cause) -> &'static str {
    match cause.kind {
        ErrorKind::Denied => "Refused",
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => "Unreachable",
        _ => "Unusable",
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST_STATE {
        return line.into();
    }
    line.chars().take(LONGEST_STATE - 1).chain(['…']).collect()
}

/// A block for each infrastructure.
pub(crate) fn reports(all: &[Checked], ink: Ink) -> String {
    if all.is_empty() {
        return "no infrastructures".into();
    }
    all.iter().map(|checked| report(checked, ink)).collect::<Vec<_>>().join("\n\n")
}

fn report(checked: &Checked, ink: Ink) -> String {
    let tier = checked.tier.map(|tier| format!(", {tier}")).unwrap_or_default();
    let place = format!("{}{tier}", checked.driver);
    let state = match &checked.cause {
        None => ink.green("Ready"),
        Some(cause) => ink.red(format!("{}: {}", how(cause), cause.root())),
    };
    let mut lines = vec![format!("{}  {}  {state}", ink.bold(&checked.name), ink.dim(place))];
    let mut fact =
        |what: &str, value: &str| lines.push(format!("  {}{value}", ink.dim(format!("{what:<WIDTH$}"))));
    if let Some(seen) = &checked.inspection {
        fact("version", &seen.version);
        if let Some(user) = &seen.user {
            fact("user", user);
        }
        for (number, (object, verbs)) in seen.missing_permissions().iter().enumerate() {
            fact(if number == 0 { "not allowed" } else { "" }, &format!("{object}: {}", verbs.join(", ")));
        }
        if !seen.nodes.is_empty() {
            fact("nodes", &format!("{} of {} ready", seen.ready_nodes(), seen.nodes.len()));
        }
        for node in &seen.nodes {
            fact("", &self::node(node));
        }
        if !seen.capacity.is_empty() {
            fact("for slices", &amounts(&seen.capacity));
        }
        for warning in &seen.warnings {
            fact("warning", &ink.yellow(warning));
        }
    }
    for line in checked.cause.iter().flat_map(help) {
        fact("help", line);
    }
    lines.join("\n")
}

/// The way out, but for a list that the report has already.
fn help(cause: &Cause) -> impl Iterator<Item = &str> {
    let lines = cause.help.iter().flat_map(|help| help.lines());
    lines.filter(|line| !line.starts_with("  ") && !line.ends_with(':'))
}

fn node(node: &NodeState) -> String {
    let NodeState { name, architecture, unready, capacity, free } = node;
    let cpu = capacity.cpu.map(|all| match free.cpu {
        Some(free) => format!("{} of {} cores", cores(free), cores(all)),
        None => format!("{} cores", cores(all)),
    });
    let memory = capacity.memory.map(|all| match free.memory {
        Some(free) => format!("{} of {} GiB", gibibytes(free), gibibytes(all)),
        None => format!("{} GiB", gibibytes(all)),
    });
    let left = if free.is_empty() { "" } else { " free" };
    let amounts = cpu.into_iter().chain(memory).collect::<Vec<_>>().join(", ");
    let state = unready.as_ref().map(|why| format!("; not ready: {why}")).unwrap_or_default();
    format!("{name}  {architecture}  {amounts}{left}{state}")
}

fn amounts(capacity: &Capacity) -> String {
    let cpu = capacity.cpu.map(|cpu| format!("{} cores", cores(cpu)));
    let memory = capacity.memory.map(|memory| format!("{} GiB", gibibytes(memory)));
    cpu.into_iter().chain(memory).collect::<Vec<_>>().join(", ")
}

fn cores(cpu: Cpu) -> String {
    format!("{:.1}", cpu.millis() as f64 / 1000.0)
}

fn gibibytes(size: ByteSize) -> String {
    format!("{:.1}", size.bytes() as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use iotorch_core::{Error, Inspection, Missing, model::Tier};

    use super::*;

    fn checked(name: &str, inspection: Option<Inspection>, error: Option<Error>) -> Checked {
        Checked {
            name: name.parse().unwrap(),
            driver: "kubernetes".parse().unwrap(),
            tier: Some(Tier::Edge),
            is_usable: error.is_none(),
            inspection,
            cause: error.map(|error| error.to_cause()),
        }
    }

    fn capacity(millis: u64, gibibytes: u64) -> Capacity {
        let memory = Some(ByteSize::from_bytes(gibibytes << 30));
        Capacity { cpu: Some(Cpu::from_millis(millis)), memory, storage: None }
    }

    fn all() -> Vec<Checked> {
        let node = |name: &str, unready: Option<&str>| NodeState {
            name: name.into(),
            architecture: "arm64".into(),
            unready: unready.map(Into::into),
            capacity: capacity(4000, 8),
            free: capacity(3250, 7),
        };
        let mut well = Inspection::new("v1.37.0");
        well.user = Some("admin".into());
        well.capacity = capacity(3400, 7);
        well.nodes = vec![node("a", None), node("b", Some("cordoned"))];
        let mut lacking = Inspection::new("v1.37.0");
        lacking.user = Some("nobody".into());
        let permission = |verb: &str| Missing::Permission { verb: verb.into(), object: "pods".into() };
        lacking.missing = vec![permission("list"), permission("watch")];
        let refusal = lacking.refusal();
        let mut warned = Inspection::new("v1.37.0");
        warned.warnings = vec!["node \"a\" is short of memory".into()];
        let away = Error::new(ErrorKind::Unavailable, "cannot survey infrastructure \"away\"")
            .with_source(Error::new(ErrorKind::Unavailable, "connection refused"));
        vec![
            checked("well", Some(well), None),
            checked("lacking", Some(lacking), refusal),
            checked("warned", Some(warned), None),
            checked("away", None, Some(away)),
        ]
    }

    #[test]
    fn each_infrastructure_tells_how_it_is_and_what_is_missing() {
        insta::assert_snapshot!(reports(&all(), Ink::Plain));
    }

    #[test]
    fn a_list_has_a_line_for_each() {
        let all: Vec<_> = all()
            .into_iter()
            .map(|checked| Listed { checked, slices: vec!["greenhouse".parse().unwrap()] })
            .collect();
        insta::assert_snapshot!(list(&all));
    }
}
