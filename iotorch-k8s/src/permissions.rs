//! What iotorch has to be allowed on a cluster, and whether it is.
//!
//! [`NEEDED`] is the one list of it: the check, the ClusterRole in `docs/kubernetes.md` and a test that runs a slice as a user who
//! has nothing else come from it. All of it is needed in all namespaces, as each slice has a new one.
//!
//! One SelfSubjectRulesReview tells all that the RBAC of a cluster allows, so that a user who has everything costs one request. It does
//! not know of other authorizers (a webhook, the node authorizer), and is not meant to say no: each permission that is not in it is
//! asked for by a SelfSubjectAccessReview (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/>). Should one of
//! these take away what RBAC gives, the step that needs it says so.

use futures::{StreamExt as _, stream};
use iotorch_core::Missing;
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{
        ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
        SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
    },
    rbac::v1::{ClusterRole, PolicyRule},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, api::PostParams};

/// The name of the role in the documentation.
const ROLE: &str = "iotorch";

/// A namespace that nobody has given rights in, so that only those count that hold in all.
const NO_NAMESPACE: &str = "iotorch-check-of-permissions";

/// How many questions are under way at once.
const AT_ONCE: usize = 16;

/// What is done with some kinds of objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
}

const fn need(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Need {
    Need { group, resources, verbs }
}

/// What is put in place by server-side apply, and taken away.
const PUT: &[&str] = &["create", "patch", "delete"];

/// What charts consist of, and helm keeps its releases in: 3 and 4 change objects in different ways.
const MADE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

const WATCHED: &[&str] = &["get", "list", "watch"];

/// Everything that the code of this crate, helm, and the charts that come with iotorch do. A chart that makes other kinds of objects needs more.
pub(crate) const NEEDED: &[Need] = &[
    // survey, space, endpoints
    need("", &["namespaces"], &["create", "delete", "get", "list", "patch"]),
    need("", &["nodes"], &["list"]),
    // space
    need("", &["limitranges", "resourcequotas"], PUT),
    need("networking.k8s.io", &["networkpolicies"], PUT),
    // record, secrets, releases, and the charts
    need("", &["configmaps", "persistentvolumeclaims", "secrets", "services"], MADE),
    need("apps", &["statefulsets"], MADE),
    // readiness, and pods of a namespace that ends
    need("", &["events"], WATCHED),
    need("", &["pods"], &["delete", "get", "list", "watch"]),
    need("", &["pods/log"], &["get"]),
    need("apps", &["daemonsets", "deployments", "replicasets"], WATCHED),
    need("batch", &["jobs"], WATCHED),
    // forward: get until Kubernetes 1.34, create since
    need("", &["pods/portforward"], &["create", "get"]),
];

/// A single thing that has to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Permission {
    verb: &'static str,
    group: &'static str,
    /// With its subresource, as in `pods/log`.
    resource: &'static str,
}

fn all() -> impl Iterator<Item = Permission> {
    NEEDED.iter().flat_map(|need| {
        let pairs =
            need.resources.iter().flat_map(|resource| need.verbs.iter().map(move |verb| (*resource, *verb)));
        pairs.map(|(resource, verb)| Permission { verb, group: need.group, resource })
    })
}

impl Permission {
    /// Whether a rule gives it (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources>).
    fn is_in(&self, rule: &ResourceRule) -> bool {
        let has = |given: &[String], wanted: &str| given.iter().any(|it| it == "*" || it == wanted);
        let any_of = self.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        let resources = rule.resources.as_deref().unwrap_or_default();
        rule.resource_names.as_ref().is_none_or(Vec::is_empty)
            && has(&rule.verbs, self.verb)
            && has(rule.api_groups.as_deref().unwrap_or_default(), self.group)
            && (has(resources, self.resource) || any_of.is_some_and(|any| resources.contains(&any)))
    }

    async fn is_given(&self, client: &Client) -> kube::Result<bool> {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (self.resource, None),
        };
        // Without a namespace it means all of them.
        let attributes = ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

impl From<Permission> for Missing {
    fn from(permission: Permission) -> Self {
        let Permission { verb, group, resource } = permission;
        let object = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        Self::Permission { verb: verb.to_owned(), object }
    }
}

/// The permissions that are missing.
pub(crate) async fn missing(client: &Client) -> kube::Result<Vec<Missing>> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(NO_NAMESPACE.to_owned()) },
        ..SelfSubjectRulesReview::default()
    };
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    let rules = review.status.unwrap_or_default().resource_rules;
    let doubtful = all().filter(|permission| !rules.iter().any(|rule| permission.is_in(rule)));
    let asked = stream::iter(doubtful)
        .map(|permission| async move { Ok((permission, permission.is_given(client).await?)) });
    let answers: Vec<kube::Result<(Permission, bool)>> = asked.buffered(AT_ONCE).collect().await;
    let answers: Vec<_> = answers.into_iter().collect::<kube::Result<_>>()?;
    let mut missing: Vec<Missing> = answers
        .into_iter()
        .filter(|(_, is_given)| !is_given)
        .map(|(permission, _)| permission.into())
        .collect();
    missing.sort();
    Ok(missing)
}

/// Whom the API server takes us for; it tells since Kubernetes 1.28.
pub(crate) async fn user(client: &Client) -> Option<String> {
    let review = SelfSubjectReview::default();
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await.ok()?;
    review.status?.user_info?.username
}

/// The role that has everything that is needed, to be bound in all namespaces.
#[must_use]
pub fn cluster_role() -> ClusterRole {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rule = |need: &Need| PolicyRule {
        api_groups: Some(vec![need.group.to_owned()]),
        resources: Some(owned(need.resources)),
        verbs: owned(need.verbs),
        ..PolicyRule::default()
    };
    ClusterRole {
        metadata: ObjectMeta { name: Some(ROLE.to_owned()), ..ObjectMeta::default() },
        rules: Some(NEEDED.iter().map(rule).collect()),
        ..ClusterRole::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ResourceRule {
            api_groups: Some(owned(groups)),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            resource_names: None,
        }
    }

    #[test]
    fn a_rule_gives_what_it_names_and_no_more() {
        let log = Permission { verb: "get", group: "", resource: "pods/log" };
        for (given, rule) in [
            (true, rule(&["*"], &["*"], &["*"])),
            (true, rule(&[""], &["pods/log", "pods"], &["get"])),
            (true, rule(&[""], &["*/log"], &["list", "get"])),
            (false, rule(&[""], &["pods"], &["get"])),
            (false, rule(&["apps"], &["pods/log"], &["get"])),
            (false, rule(&[""], &["pods/log"], &["list"])),
            (false, ResourceRule { resource_names: Some(vec!["a".into()]), ..rule(&["*"], &["*"], &["*"]) }),
        ] {
            assert_eq!(log.is_in(&rule), given, "{rule:?}");
        }
    }

    #[test]
    fn everything_is_needed_once_only() {
        let all: Vec<_> = all().collect();
        let twice = all.iter().enumerate().find(|(index, one)| all[..*index].contains(one));
        assert_eq!(twice, None);
    }

    /// The ClusterRole that people are told to make is the one that is checked for.
    #[test]
    fn the_documentation_has_the_role_of_this_list() {
        let docs = include_str!("../../docs/kubernetes.md");
        let quoted =
            |words: &[&str]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let rules = NEEDED.iter().map(|need| {
            let (resources, verbs) = (quoted(need.resources), quoted(need.verbs));
            format!("  - apiGroups: [{:?}]\n    resources: [{resources}]\n    verbs: [{verbs}]\n", need.group)
        });
        let role = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {ROLE}\nrules:\n{}",
            rules.collect::<String>()
        );
        assert!(docs.contains(&role), "docs/kubernetes.md lacks:\n{role}");
    }
}
