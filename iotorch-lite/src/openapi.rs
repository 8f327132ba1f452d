//! A router that describes itself in OpenAPI 3.1: a path is routed and described by the same call, so neither can be
//! without the other. Schemas are those of [`crate::api`].

use crate::api::{Failure, Health};
use axum::{
    Json, Router,
    handler::Handler,
    routing::{MethodRouter, get},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What can be done with one path: how it is answered, and how it is described.
pub(crate) struct Calls<S>(pub(crate) MethodRouter<S>, pub(crate) Vec<Operation>);

impl<S: Clone + Send + Sync + 'static> Calls<S> {
    /// A path that is only read.
    pub(crate) fn get<H: Handler<T, S>, T: 'static>(handler: H, operation: Operation) -> Self {
        Self(get(handler), vec![operation])
    }
}

type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The description of one method of a path.
pub(crate) struct Operation {
    method: &'static str,
    summary: &'static str,
    query: Option<Shape>,
    takes: Option<Shape>,
    gives: Vec<(&'static str, Option<Shape>)>,
    status: &'static str,
    /// Whether it needs no token.
    open: bool,
}

impl Operation {
    pub(crate) const fn new(method: &'static str, summary: &'static str) -> Self {
        Self { method, summary, query: None, takes: None, gives: Vec::new(), status: "204", open: false }
    }

    pub(crate) const fn get(summary: &'static str) -> Self {
        Self::new("get", summary)
    }

    /// The parameters of its query are the fields of a `Q`.
    pub(crate) fn query<Q: JsonSchema>(self) -> Self {
        Self { query: Some(|schemas| Q::json_schema(schemas)), ..self }
    }

    /// Its body is a `T` in JSON.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some(|schemas| schemas.subschema_for::<T>()), ..self }
    }

    /// It answers a `T` in JSON. An operation that gives nothing answers 204.
    pub(crate) fn gives<T: JsonSchema>(self) -> Self {
        self.gives_as::<T>("application/json")
    }

    /// It makes a `T` and answers it in JSON.
    pub(crate) fn creates<T: JsonSchema>(self) -> Self {
        Self { status: "201", ..self.gives::<T>() }
    }

    /// It answers a `T` in this form.
    pub(crate) fn gives_as<T: JsonSchema>(mut self, form: &'static str) -> Self {
        self.status = "200";
        self.gives.push((form, Some(|schemas| schemas.subschema_for::<T>())));
        self
    }

    /// It answers something in this form that has no schema.
    pub(crate) fn gives_plain(mut self, form: &'static str) -> Self {
        self.status = "200";
        self.gives.push((form, None));
        self
    }

    fn describe(&self, path: &str, schemas: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<_> = path_parameters(path)
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        parameters.extend(self.query.into_iter().flat_map(|query| query_parameters(&query(schemas))));
        let mut operation = json!({
            "summary": self.summary,
            "operationId": identifier(self.method, path),
            "parameters": parameters,
            "responses": self.responses(schemas),
        });
        if let Some(takes) = self.takes {
            let body = json!({ "application/json": { "schema": takes(schemas) } });
            operation["requestBody"] = json!({ "required": true, "content": body });
        }
        if self.open {
            operation["security"] = json!([]);
        }
        operation
    }

    fn responses(&self, schemas: &mut SchemaGenerator) -> Value {
        let error = json!({ "application/json": { "schema": schemas.subschema_for::<Failure>() } });
        let failed = json!({ "description": "What went wrong", "content": error });
        let mut content = Map::new();
        for (form, shape) in &self.gives {
            let schema = shape.map(|shape| json!({ "schema": shape(schemas) }));
            content.insert((*form).to_owned(), schema.unwrap_or_else(|| json!({})));
        }
        let mut done = json!({ "description": "Done" });
        if !content.is_empty() {
            done["content"] = content.into();
        }
        json!({ self.status: done, "default": failed })
    }
}

/// The names in braces.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A parameter for each field, with the description of the field as its own.
fn query_parameters(query: &Schema) -> Vec<Value> {
    let fields = query.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "schema": schema, "description": description.unwrap_or_default() })
    };
    fields.into_iter().map(parameter).collect()
}

fn identifier(method: &str, path: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let words: String = path.chars().filter(|c| !"{}".contains(*c)).map(word).collect();
    format!("{method}{words}")
}

/// A router and the description of each of its paths.
pub(crate) struct Described<S> {
    router: Router<S>,
    paths: Map<String, Value>,
    schemas: SchemaGenerator,
}

impl<S: Clone + Send + Sync + 'static> Described<S> {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { router: Router::new(), paths: Map::new(), schemas: settings.into_generator() }
    }

    /// Routes a path and describes it.
    pub(crate) fn route(mut self, path: &str, Calls(methods, operations): Calls<S>) -> Self {
        self.describe(path, &operations);
        Self { router: self.router.route(path, methods), ..self }
    }

    fn describe(&mut self, path: &str, operations: &[Operation]) {
        let described = operations
            .iter()
            .map(|operation| (operation.method.to_owned(), operation.describe(path, &mut self.schemas)));
        self.paths.insert(path.to_owned(), Value::Object(described.collect()));
    }

    /// The router, and the document that describes it and the calls that need no token.
    pub(crate) fn finish(mut self, role: &str, state: S) -> (Router, Value) {
        let open = |summary| Operation { open: true, ..Operation::get(summary) };
        self.describe("/health", &[open("What answers here").gives::<Health>()]);
        self.describe("/openapi.json", &[open("This document").gives_plain("application/json")]);
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": format!("Management API of the iotorch {role}"),
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
            },
            "security": [{ "token": [] }],
            "paths": self.paths,
            "components": {
                "schemas": self.schemas.take_definitions(true),
                "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            },
        });
        (self.router.with_state(state), document)
    }
}

/// Adds `GET /openapi.json`, which needs no token, in front of a router.
pub(crate) fn with_document(router: Router, document: Value) -> Router {
    Router::new().route("/openapi.json", get(|| async move { Json(document) })).fallback_service(router)
}
