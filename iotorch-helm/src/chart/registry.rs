//! Charts in registries, by the OCI distribution specification 1.1 and Helm's media types.
//!
//! A registry that wants to know who asks answers 401 with a challenge; the one understood beside Basic is Bearer, by the
//! "token authentication" that registries share: a token for the repository is fetched from the realm of the challenge, with
//! the credentials of the registry if there are any.

use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use serde::Deserialize;

use super::{
    archive,
    cache::Cache,
    digest::Digest,
    repository::{absent, newest},
    source::Reference,
    version::VersionRange,
    web::{Web, authority, header as header_of, read, refusal, refused, shown},
};
use crate::error::{Error, ErrorKind, Result};

/// What holds the archive of a chart.
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The size that the specification wants every registry to take ("Pushing manifests").
const LARGEST_MANIFEST: usize = 4 << 20;

/// Of lists of tags and of tokens.
const LARGEST_ANSWER: usize = 4 << 20;

/// How many pages of tags are read.
const MOST_PAGES: usize = 100;

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Tags {
    /// `null` where there are none.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// The archive of the newest version of a chart that is meant, and the digest of its layer. What is kept already is not fetched
/// again.
pub(super) async fn fetch(
    web: &Web,
    cache: &Cache,
    reference: &Reference,
    range: &VersionRange,
) -> Result<(Vec<u8>, Digest)> {
    let mut session = Session::new(web, reference)?;
    let tag = match range.exact() {
        Some(version) => to_tag(version),
        None => session.newest(range).await?,
    };
    let layer = session.layer(&tag).await?;
    if let Some(kept) = cache.get(&layer)? {
        return Ok((kept, layer));
    }
    let url = session.url(&format!("blobs/{layer}"))?;
    let answer = session.get(&url, "*/*").await?;
    let bytes = read(answer, &url, archive::LARGEST as usize).await?;
    if Digest::of(&bytes) != layer {
        return Err(Error::new(ErrorKind::InvalidChart, format!("cannot trust \"{}\"", shown(&url)))
            .with_source("its digest is another one"));
    }
    Ok((bytes, layer))
}

/// A `+` cannot be in a tag; Helm writes `_` for it.
fn to_tag(version: &str) -> String {
    version.replace('+', "_")
}

struct Session<'a> {
    web: &'a Web,
    reference: &'a Reference,
    base: Url,
    /// What to log in with, once the registry has asked for it.
    login: Option<Login>,
}

enum Login {
    Basic,
    Bearer(String),
}

impl<'a> Session<'a> {
    fn new(web: &'a Web, reference: &'a Reference) -> Result<Self> {
        let Reference { registry, repository } = reference;
        let scheme = if web.may_be_plain(registry) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{registry}/v2/{repository}/")).map_err(|error| {
            Error::new(ErrorKind::InvalidValues, "cannot ask the registry").with_source(error)
        })?;
        Ok(Self { web, reference, base, login: None })
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|error| self.cannot(ErrorKind::NotFound, error.to_string()))
    }

    fn cannot(&self, kind: ErrorKind, why: String) -> Error {
        let Reference { registry, repository } = self.reference;
        Error::new(kind, format!("cannot find a chart at \"oci://{registry}/{repository}\"")).with_source(why)
    }

    /// The tag of the newest version that is meant.
    async fn newest(&mut self, range: &VersionRange) -> Result<String> {
        let mut tags = Vec::new();
        let mut next = Some(self.url("tags/list")?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { break };
            let answer = self.get(&url, "application/json").await?;
            next = next_page(&answer, &url);
            let bytes = read(answer, &url, LARGEST_ANSWER).await?;
            let page: Tags = parse(&bytes, &url)?;
            tags.extend(page.tags.unwrap_or_default());
        }
        // As versions they may have a `+`, which a tag cannot.
        let versions: Vec<String> = tags.iter().map(|tag| tag.replace('_', "+")).collect();
        let version = newest(&versions, range, |version| version).ok_or_else(|| {
            self.cannot(ErrorKind::NotFound, absent(range, versions.iter().map(|version| &**version)))
        })?;
        Ok(to_tag(version))
    }

    /// The digest of the layer with the archive.
    async fn layer(&mut self, tag: &str) -> Result<Digest> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let answer = self.get(&url, MANIFEST).await?;
        let bytes = read(answer, &url, LARGEST_MANIFEST).await?;
        let manifest: Manifest = parse(&bytes, &url)?;
        let mut charts = manifest.layers.iter().filter(|layer| layer.media_type == CHART_LAYER);
        match (charts.next(), charts.next()) {
            (Some(layer), None) => layer.digest.parse().map_err(|error: Error| {
                self.cannot(ErrorKind::Unsupported, format!("{error}: only SHA-256 is understood"))
            }),
            _ => Err(self.cannot(ErrorKind::InvalidChart, format!("\"{tag}\" is no chart"))),
        }
    }

    /// Asks, and once more with a login if the registry wants one.
    async fn get(&mut self, url: &Url, accept: &str) -> Result<Response> {
        let request = || Ok(self.web.get(url)?.header(header::ACCEPT, accept));
        let answer = self.web.ask(self.log_in(request()?, url), url).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return accepted(answer, url);
        }
        let request = request()?;
        self.login = Some(self.challenged(&answer, url).await?);
        accepted(self.web.ask(self.log_in(request, url), url).await?, url)
    }

    /// What is said to the registry is said to no other host.
    fn log_in(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        match &self.login {
            _ if authority(url) != authority(&self.base) => request,
            None => request,
            Some(Login::Basic) => match self.web.credentials(&self.base) {
                Some(credentials) => credentials.apply(request),
                None => request,
            },
            Some(Login::Bearer(token)) => request.bearer_auth(token),
        }
    }

    /// Answers the challenge of a 401.
    async fn challenged(&self, answer: &Response, url: &Url) -> Result<Login> {
        let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE);
        for challenge in challenges.iter().filter_map(|challenge| challenge.to_str().ok()) {
            let (scheme, parameters) = challenge.trim().split_once(' ').unwrap_or((challenge, ""));
            if scheme.eq_ignore_ascii_case("bearer") {
                return self.token(parameters, url).await.map(Login::Bearer);
            }
            if scheme.eq_ignore_ascii_case("basic") && self.web.credentials(&self.base).is_some() {
                return Ok(Login::Basic);
            }
        }
        Err(refused(ErrorKind::Denied, url, answer.status()))
    }

    async fn token(&self, parameters: &str, url: &Url) -> Result<String> {
        let denied = |why: &str| {
            Error::new(ErrorKind::Denied, format!("cannot log in to \"{}\"", authority(url)))
                .with_source(why.to_owned())
        };
        let realm = parameter(parameters, "realm").and_then(|realm| Url::parse(&realm).ok());
        let mut realm = realm.ok_or_else(|| denied("it does not say where it gives out tokens"))?;
        let scope = parameter(parameters, "scope");
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
        realm.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = parameter(parameters, "service") {
            realm.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.web.get(&realm)?;
        if let Some(credentials) = self.web.credentials(&self.base) {
            request = credentials.apply(request);
        }
        let answer = self.web.send(request, &realm).await?;
        let bytes = read(answer, &realm, LARGEST_ANSWER).await?;
        let Token { token, access_token } = parse(&bytes, &realm)?;
        token.or(access_token).ok_or_else(|| denied("no token was given"))
    }
}

fn accepted(answer: Response, url: &Url) -> Result<Response> {
    match refusal(answer.status()) {
        None => Ok(answer),
        Some(kind) => Err(refused(kind, url, answer.status())),
    }
}

/// An answer in JSON. What it has is not shown: it may be a token.
fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], url: &Url) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(ErrorKind::Unexpected, format!("cannot understand the answer of \"{}\"", shown(url)))
            .with_source(format!("it is not the expected JSON at {place}"))
    })
}

/// The next page of a list (RFC 8288, as "Listing tags" has it), if it is of the same host.
fn next_page(answer: &Response, url: &Url) -> Option<Url> {
    let link = header_of(answer.headers(), "link")?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
    let next = url.join(target).ok()?;
    (is_next && next.origin() == url.origin()).then_some(next)
}

/// A parameter of a challenge (RFC 9110 section 11.2).
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut characters) = (String::new(), quoted.chars());
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => value.push(characters.next()?),
                        c => value.push(c),
                    }
                }
                (value, characters.as_str())
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_challenge_are_found_quoted_or_not() {
        let text = r#"realm="https://auth.example.org/token?a=b,c",service=registry, scope="repository:a/b:pull,push""#;
        assert_eq!(parameter(text, "realm").as_deref(), Some("https://auth.example.org/token?a=b,c"));
        assert_eq!(parameter(text, "Service").as_deref(), Some("registry"));
        assert_eq!(parameter(text, "scope").as_deref(), Some("repository:a/b:pull,push"));
        assert_eq!(parameter(text, "error"), None);
        assert_eq!(parameter(r#"realm="a\"b""#, "realm").as_deref(), Some("a\"b"));
        assert_eq!(parameter(r#"realm="never closed"#, "realm"), None);
    }

    #[test]
    fn a_plus_of_a_version_is_an_underscore_in_its_tag() {
        assert_eq!(to_tag("1.0.0+build.7"), "1.0.0_build.7");
    }
}
