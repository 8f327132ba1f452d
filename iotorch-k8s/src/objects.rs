//! Objects of the API server, put in place and taken away again and again.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::Request,
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::json;

use crate::{error::is_not_found, mark::IOTORCH};

/// Applies an object as it is here; what others have set in it stays.
pub(crate) async fn put<K>(api: &Api<K>, object: &K) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Serialize,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let params = PatchParams::apply(IOTORCH).force();
    // Server-side apply wants to be told the type, which typed objects leave out.
    let mut value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
    value["apiVersion"] = json!(K::api_version(&()));
    value["kind"] = json!(K::kind(&()));
    // The answer is the object, which nobody wants to read: code for reading each kind would be large.
    let request = Request::new(api.resource_url()).patch(&name, &params, &Patch::Apply(value));
    let request = request.map_err(kube::Error::BuildRequest)?;
    api.clone().into_client().request::<IgnoredAny>(request).await.map(drop)
}

/// Removes this very object, should another have come in its place.
pub(crate) async fn remove_this<K>(objects: &Api<K>, found: &ObjectMeta) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let preconditions = Preconditions { uid: found.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    gone(objects.delete(found.name.as_deref().unwrap_or_default(), &params).await)
}

/// Removing what is not there succeeds.
pub(crate) fn gone<T>(removed: kube::Result<T>) -> kube::Result<()> {
    match removed {
        Err(error) if !is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}
