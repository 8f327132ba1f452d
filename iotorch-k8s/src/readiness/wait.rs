//! Waiting until a release works.

use std::time::Duration;

use iotorch_core::{Context, Error, ErrorKind, Result};
use iotorch_helm::{RESOURCE_POLICY, keeps};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use tokio::time::{Instant, sleep_until};

use super::{
    Contents, Floor, Kind, Log, Part, Readiness, Reason, View, Watch,
    object::{Object, text},
    of,
};
use crate::error::failed;

/// How long a reason has to last until it is told: pods go through several in their first moments.
const SETTLED: Duration = Duration::from_millis(700);

/// So long before its deadline a call tells why it did not get to an end, in place of being cut off.
const FAREWELL: Duration = Duration::from_millis(500);

/// How many lines of the log of a container that failed are told, and how long each may be.
const LAST_LINES: i64 = 5;
const LONGEST_LINE: usize = 200;

/// How the parts of a release are now.
///
/// # Errors
/// What is in the way of watching them.
pub(crate) async fn now(parts: &[Part], view: &View) -> Result<Readiness> {
    view.see(&Watch::of(parts)).await?;
    Ok(of(parts, &Floor::default(), &view.contents()))
}

/// Waits for the parts of a release.
///
/// # Errors
/// [`ErrorKind::NotReady`] each time that there is another reason, so that the person sees it: the caller asks again at once;
/// [`ErrorKind::Infeasible`] when waiting cannot help; what is in the way of watching them, at once if it is a right that is missing,
/// else when it lasts.
pub(crate) async fn wait(
    cx: &Context,
    client: &Client,
    namespace: &str,
    release: &str,
    parts: &[Part],
    view: &View,
) -> Result<()> {
    let watches = Watch::of(parts);
    view.see(&watches).await?;
    let places = view.contents().places(parts);
    let floor = Floor::now(places).await;
    let floor = floor.map_err(|error| failed(format!("cannot look at release \"{release}\""), error))?;
    // What crashed before may have been mended since; the next crash tells.
    let before = view.wait_for(release, || match of(parts, &floor, &view.contents()) {
        Readiness::Hopeless(reason) if reason.recurs => Some(reason.text),
        _ => None,
    });
    let mut changes = view.changes();
    loop {
        let (found, trouble) = {
            let contents = view.contents();
            (of(parts, &floor, &contents), contents.trouble_with(&watches).cloned())
        };
        let (reason, hopeless) = match found {
            Readiness::Ready => {
                view.end_wait(release);
                return Ok(());
            }
            Readiness::Hopeless(reason) if before.as_ref() != Some(&reason.text) => (reason, true),
            Readiness::Waiting(reason) | Readiness::Hopeless(reason) => (reason, false),
        };
        let note = view.note(release, &reason.text);
        // What is not seen any more may have passed.
        let is_sure = hopeless && trouble.is_none();
        let given_up = is_sure.then(|| note.since + reason.patience.unwrap_or_default());
        let now = Instant::now();
        if given_up.is_some_and(|at| at <= now) {
            view.end_wait(release);
            let why = described(client, namespace, &reason).await;
            return Err(Error::new(ErrorKind::Infeasible, "it cannot become ready").with_source(why));
        }
        let last = cx.deadline.checked_sub(FAREWELL).unwrap_or(now);
        let blind = trouble.as_ref().map(|trouble| last.min(trouble.bearable_until()));
        if let (Some(trouble), Some(true)) = (&trouble, blind.map(|until| until <= now)) {
            return Err(trouble.to_error());
        }
        let told = (!note.is_told).then(|| note.since + SETTLED);
        let is_news = told.is_some_and(|at| at <= now);
        if is_news || cx.cancelled.is_cancelled() || last <= now {
            view.told(release);
            let why = Error::new(ErrorKind::NotReady, reason.text);
            let unready = Error::new(ErrorKind::NotReady, "it is not ready yet").with_source(why);
            return Err(if is_news { unready.with_retry_after(Duration::ZERO) } else { unready });
        }
        let next = [Some(last), told, given_up, blind].into_iter().flatten().min().unwrap_or(last);
        tokio::select! {
            () = changes.next() => {}
            () = sleep_until(next) => {}
            () = cx.cancelled.cancelled() => {}
        }
    }
}

/// Waits until no pod and no claim of a volume with this label is left, but for those that stay: pods that are done, and what its chart
/// keeps.
///
/// # Errors
/// [`ErrorKind::NotReady`] shortly before the deadline, and when the person asked to stop; what is in the way of watching them, at once
/// if it is a right that is missing, else when it lasts.
pub(crate) async fn gone(cx: &Context, label: (&str, &str), view: &View) -> Result<()> {
    let watches = [Kind::Pod, Kind::Claim].map(Watch::all).into();
    view.see(&watches).await?;
    let mut changes = view.changes();
    loop {
        let (left, trouble) = {
            let contents = view.contents();
            (labelled(label, &contents), contents.trouble_with(&watches).cloned())
        };
        if left.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let last = cx.deadline.checked_sub(FAREWELL).unwrap_or(now);
        let blind = trouble.as_ref().map(|trouble| last.min(trouble.bearable_until()));
        if let (Some(trouble), Some(true)) = (&trouble, blind.map(|until| until <= now)) {
            return Err(trouble.to_error());
        }
        if cx.cancelled.is_cancelled() || last <= now {
            return Err(Error::new(
                ErrorKind::NotReady,
                format!("{} is still being removed", left.join(", ")),
            ));
        }
        tokio::select! {
            () = changes.next() => {}
            () = sleep_until(blind.unwrap_or(last)) => {}
            () = cx.cancelled.cancelled() => {}
        }
    }
}

/// The pods and claims of volumes with a label that do not stay, in words.
fn labelled((label, value): (&str, &str), contents: &Contents) -> Vec<String> {
    let stays = |object: &Object| {
        let is_done = ["Succeeded", "Failed"].contains(&text(&object.status()["phase"]));
        !object.is_being_removed() && (is_done || object.annotation(RESOURCE_POLICY).is_some_and(keeps))
    };
    let of_kind = |kind: Kind, called: &'static str| {
        let those = contents.all(kind).filter(|object| object.label(label) == Some(value) && !stays(object));
        those.map(move |object| format!("{called} \"{}\"", object.name()))
    };
    of_kind(Kind::Pod, "pod").chain(of_kind(Kind::Claim, "claim")).collect()
}

/// A reason with the last lines of the log that belongs to it.
async fn described(client: &Client, namespace: &str, reason: &Reason) -> Error {
    let error = Error::new(ErrorKind::Infeasible, reason.text.clone());
    let Some(log) = &reason.log else { return error };
    match last_lines(client, namespace, log).await {
        Some(lines) => {
            error.with_source(Error::new(ErrorKind::Infeasible, format!("its log ends with: {lines}")))
        }
        None => error,
    }
}

/// None where there is none, or it cannot be had any more: the reason counts, and is known without.
async fn last_lines(client: &Client, namespace: &str, log: &Log) -> Option<String> {
    let params = LogParams {
        container: Some(log.container.clone()),
        previous: log.previous,
        tail_lines: Some(LAST_LINES),
        ..LogParams::default()
    };
    let text = Api::<Pod>::namespaced(client.clone(), namespace).logs(&log.pod, &params).await.ok()?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(|line| line.chars().take(LONGEST_LINE).collect()).collect();
    (!lines.is_empty()).then(|| lines.join(" | "))
}
