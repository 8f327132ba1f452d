//! How a cluster is reached, and what of it slices use.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use iotorch_core::{
    Error, ErrorKind, Result,
    model::{Infrastructure, Settings, TimeSpan},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `settings` of an infrastructure whose driver is `kubernetes`.
///
/// Without any, the cluster is that of the current context of the kubeconfig that the driver was given; for the command that is the
/// first that `KUBECONFIG` names, or else `~/.kube/config`. A proxy is set in the kubeconfig (`proxy-url`), or else by `HTTPS_PROXY` and
/// `NO_PROXY`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubernetesConfig {
    /// The kubeconfig; without it that of the driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; without it the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Use the cluster that this process runs in, by the service account of its pod, and no kubeconfig.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_cluster: bool,
    /// Act as somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<Impersonation>,
    /// How long to wait for a connection to the API server, 5 s if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<TimeSpan>,
    /// The host name or address at which node ports of the cluster are reached from elsewhere; without it the address of a node,
    /// an external one before an internal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_address: Option<String>,
    /// Values of the charts that come with iotorch, for every gateway and server of the application `lite` on this cluster: where the
    /// image is, the class of storage, resources.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub lite: Settings,
    /// Values of the chart that comes with iotorch for gateways of the application `edgex`. Its bridge has the image that `lite` names.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub edgex: Settings,
    /// Values of the chart that comes with iotorch for servers of the application `mainflux`.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub mainflux: Settings,
    /// What pods in the slices' namespaces may do, by the Pod Security Standards; `baseline` if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,
    /// Where the cluster's pods have their addresses, in CIDR notation, beside what its nodes tell (`spec.podCIDRs`), which some
    /// networks do not. The network policy of a slice keeps out the other pods in these ranges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_ranges: Vec<AddressRange>,
}

/// A range of IP addresses in CIDR notation, such as `10.244.0.0/16` (RFC 4632 section 3.1, RFC 4291 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for AddressRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (first, prefix) = text.split_once('/')?;
            let (first, prefix): (IpAddr, u8) = (first.parse().ok()?, prefix.parse().ok()?);
            let (bits, width) = match first {
                IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u32),
                IpAddr::V6(address) => (address.to_bits(), 128),
            };
            let beyond = width.checked_sub(u32::from(prefix))?;
            // Otherwise it is an address in the range, and the cluster refuses it.
            let is_first = bits == 0 || bits.trailing_zeros() >= beyond;
            is_first.then_some(Self { first, prefix })
        };
        parse().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("\"{text}\" is no range of addresses")).with_help(
                "write it as its first address and the length of its prefix, such as 10.244.0.0/16",
            )
        })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

/// Whom to act as (`--as` and `--as-group` of `kubectl`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Impersonation {
    /// The user.
    pub user: String,
    /// The groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A level of the [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// Everything is allowed.
    Privileged,
    /// What is known to give more rights than a pod should have is refused.
    #[default]
    Baseline,
    /// Only what follows the current practice of hardening is allowed.
    Restricted,
}

impl PodSecurity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl KubernetesConfig {
    /// Reads the settings of an infrastructure.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that are none of these, or that contradict each other.
    pub fn of(infrastructure: &Infrastructure) -> Result<Self> {
        let settings = serde_json::Value::Object(infrastructure.spec.settings.clone());
        let invalid = |why: String| {
            let what = format!("cannot use infrastructure \"{}\"", infrastructure.name);
            Error::new(ErrorKind::Invalid, what).with_source(Error::new(ErrorKind::Invalid, why))
        };
        let config: Self = serde_json::from_value(settings).map_err(|error| invalid(error.to_string()))?;
        if config.in_cluster && (config.kubeconfig.is_some() || config.context.is_some()) {
            return Err(invalid("\"inCluster\" goes without \"kubeconfig\" and \"context\"".to_owned()));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use iotorch_core::model::{InfrastructureName, InfrastructureSpec, Tier};
    use serde_json::{Value, json};

    use super::*;

    fn read(settings: Value) -> Result<KubernetesConfig> {
        let Value::Object(settings) = settings else { unreachable!("settings are an object") };
        let spec = InfrastructureSpec::builder()
            .driver("kubernetes".parse().unwrap())
            .tier(Tier::Edge)
            .settings(settings)
            .build();
        KubernetesConfig::of(&Infrastructure { name: InfrastructureName::new("edge-1").unwrap(), spec })
    }

    #[test]
    fn no_settings_are_the_current_context() {
        assert_eq!(read(json!({})).unwrap(), KubernetesConfig::default());
    }

    #[test]
    fn ranges_of_pods_are_read_and_a_wrong_one_is_told() {
        for text in ["10.244.0.0/16", "0.0.0.0/0", "192.0.2.1/32", "fd00::/64", "::/0", "2001:db8::1/128"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        for text in
            ["10.244.0.0", "10.244.0.1/16", "10.0.0.0/33", "fd00::1/64", "::/129", "pods/8", "10.0.0.0/"]
        {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
        let error = read(json!({ "podRanges": ["10.244.0.1/16"] })).unwrap_err().to_cause().to_string();
        assert!(error.ends_with("\"10.244.0.1/16\" is no range of addresses"), "{error}");
    }

    #[test]
    fn an_unknown_setting_and_a_contradiction_are_told() {
        let cause = |settings| read(settings).unwrap_err().to_cause().to_string();
        let unknown = cause(json!({ "contxt": "edge-1" }));
        assert!(
            unknown.starts_with("cannot use infrastructure \"edge-1\": unknown field `contxt`"),
            "{unknown}"
        );
        let both = cause(json!({ "inCluster": true, "context": "edge-1" }));
        assert!(both.ends_with("\"inCluster\" goes without \"kubeconfig\" and \"context\""), "{both}");
    }
}
