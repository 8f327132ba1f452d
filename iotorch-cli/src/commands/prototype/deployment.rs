//! How a server or gateway is deployed, as the prototype's options say it.

use clap::Args;
use iotorch_core::model::{Chart, DriverName, InfrastructureName, Placement, SliceName};

use super::{k8scluster::LOCAL, tell_unused};
use crate::{cli::Setting, failure::Result, installation::Session};

/// Where and with what a server or gateway is deployed.
#[derive(Clone, Debug, Args)]
pub(super) struct Deployment {
    /// The slice it is for
    #[arg(long, value_name = "SLICE")]
    pub(super) slice: SliceName,
    /// The cluster it goes to; without it that of the slice, or one that fits
    #[arg(long, value_name = "INFRASTRUCTURE")]
    cluster: Option<InfrastructureName>,
    /// The Helm chart that deploys it; accepted and not used on a cluster of the driver local, which needs none
    #[arg(long, value_name = "CHART")]
    helmpath: Option<String>,
    /// The software, by the name of its driver
    #[arg(long, value_name = "DRIVER", default_value = "lite")]
    pub(super) application: DriverName,
}

impl Deployment {
    /// Where it goes.
    pub(super) fn placement(&self) -> Placement {
        Placement { infrastructure: self.cluster.clone(), ..Placement::default() }
    }

    /// Its chart, unless the cluster deploys none, which is said. `home` is the cluster that the slice has for such parts.
    pub(super) async fn chart(
        &self,
        session: &Session,
        setting: &Setting,
        home: Option<&InfrastructureName>,
    ) -> Result<Option<Chart>> {
        let Some(source) = &self.helmpath else { return Ok(None) };
        let known = session.orchestrator().infrastructures().await?;
        let cluster = self.cluster.as_ref().or(home);
        let is_local = known
            .iter()
            .filter(|place| cluster.is_none_or(|name| place.name == *name))
            .all(|place| place.spec.driver.as_str() == LOCAL);
        if is_local {
            let because = "what runs in the process of iotorch run needs no chart";
            tell_unused(&setting.screen, &[("--helmpath", true, because)]);
            return Ok(None);
        }
        Ok(Some(Chart::builder().source(source.as_str()).build()))
    }
}
