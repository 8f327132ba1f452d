//! What every [`SecretStore`] that can be written to has to do.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Failure, Outcome, Trial, ensure};
use crate::{
    error::{ErrorKind, Result},
    secret::{SecretRef, SecretStore, SecretValue, mint},
};

type Subject = Arc<dyn SecretStore>;

/// The trials of a secret store. `make` gives an empty one each time.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use iotorch_core::{
///     secret::{MemorySecretStore, SecretStore},
///     testing::{self, Failures},
/// };
///
/// async fn secrets_are_kept() -> Result<(), Failures> {
///     let make = || Arc::new(MemorySecretStore::default()) as Arc<dyn SecretStore>;
///     testing::run(testing::secret::trials(move || Box::pin(async move { make() }))).await
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(secrets_are_kept()).unwrap();
/// ```
pub fn trials(make: impl Fn() -> BoxFuture<'static, Subject> + Send + Sync + 'static) -> Vec<Trial> {
    let make = Arc::new(make);
    macro_rules! list {
        ($($body:ident),* $(,)?) => {
            vec![$({
                let make = Arc::clone(&make);
                Trial::new(stringify!($body).replace('_', " "), move || async move { $body(make().await).await })
            }),*]
        };
    }
    list![
        a_value_is_read_back_as_it_was_put,
        a_secret_that_is_not_there_is_not_found,
        a_value_never_changes,
        putting_the_same_value_again_is_no_conflict,
        each_version_is_a_secret_of_its_own,
        a_removed_value_is_gone_and_removing_it_again_succeeds,
        a_removed_name_can_be_put_again,
        the_list_has_the_names_under_a_prefix_in_order,
        no_error_shows_a_value,
        values_put_at_the_same_time_are_all_kept,
        of_two_values_put_at_the_same_time_one_wins,
    ]
}

fn secret(name: &str) -> Result<SecretRef> {
    name.parse()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.into())
}

async fn expect_value(store: &Subject, name: &str, text: &str) -> Outcome {
    let found = store.fetch(&secret(name)?).await?;
    ensure!(found.expose() == text, "{name} is read back as another value than was put");
    Ok(())
}

fn expect_kind<T>(result: Result<T>, kind: ErrorKind, what: &str) -> Result<crate::Error, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format!("{what} succeeded; expected {kind}"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Failure::new(format!("{what} is {}; expected {kind}: {error}", error.kind()))),
    }
}

async fn a_value_is_read_back_as_it_was_put(store: Subject) -> Outcome {
    let long = "x".repeat(20_000);
    let texts =
        ["s3cret", "", " with space ", "\"quotes\" and \\", "line\nbreak\tand\u{7}", "grüße 🔑", &long];
    for (index, text) in texts.iter().enumerate() {
        store.put(&secret(&format!("plant/a.b-c_{index}:x"))?, value(text)).await?;
    }
    for (index, text) in texts.iter().enumerate() {
        expect_value(&store, &format!("plant/a.b-c_{index}:x"), text).await?;
    }
    Ok(())
}

async fn a_secret_that_is_not_there_is_not_found(store: Subject) -> Outcome {
    store.put(&secret("plant/there")?, mint()).await?;
    let error = expect_kind(store.fetch(&secret("plant/absent")?).await, ErrorKind::NotFound, "reading it")?;
    ensure!(error.to_string().contains("plant/absent"), "the error does not name the secret: {error}");
    Ok(())
}

async fn a_value_never_changes(store: Subject) -> Outcome {
    store.put(&secret("plant/gw")?, value("first")).await?;
    let again = store.put(&secret("plant/gw")?, value("second")).await;
    expect_kind(again, ErrorKind::Conflict, "putting another value under the same name")?;
    expect_value(&store, "plant/gw", "first").await
}

async fn putting_the_same_value_again_is_no_conflict(store: Subject) -> Outcome {
    store.put(&secret("plant/gw")?, value("same")).await?;
    store.put(&secret("plant/gw")?, value("same")).await?;
    expect_value(&store, "plant/gw", "same").await
}

async fn each_version_is_a_secret_of_its_own(store: Subject) -> Outcome {
    store.put(&secret("plant/gw")?, value("one")).await?;
    store.put(&secret("plant/gw#2")?, value("two")).await?;
    store.put(&secret("plant/gw#10")?, value("ten")).await?;
    expect_value(&store, "plant/gw#1", "one").await?;
    expect_value(&store, "plant/gw#2", "two").await?;
    store.remove(&secret("plant/gw#1")?).await?;
    expect_value(&store, "plant/gw#10", "ten").await?;
    expect_kind(store.fetch(&secret("plant/gw")?).await, ErrorKind::NotFound, "reading the removed version")?;
    Ok(())
}

async fn a_removed_value_is_gone_and_removing_it_again_succeeds(store: Subject) -> Outcome {
    let name = secret("plant/gw")?;
    store.remove(&name).await?;
    store.put(&name, mint()).await?;
    store.put(&secret("plant/other")?, value("stays")).await?;
    store.remove(&name).await?;
    expect_kind(store.fetch(&name).await, ErrorKind::NotFound, "reading a removed value")?;
    store.remove(&name).await?;
    expect_value(&store, "plant/other", "stays").await
}

async fn a_removed_name_can_be_put_again(store: Subject) -> Outcome {
    store.put(&secret("plant/gw")?, value("old")).await?;
    store.remove(&secret("plant/gw")?).await?;
    store.put(&secret("plant/gw")?, value("new")).await?;
    expect_value(&store, "plant/gw", "new").await
}

async fn the_list_has_the_names_under_a_prefix_in_order(store: Subject) -> Outcome {
    for name in ["plant/b#2", "plant/b#10", "plant/a", "plantation/c", "plan", "works/z"] {
        store.put(&secret(name)?, mint()).await?;
    }
    let listed = |found: Vec<SecretRef>| found.iter().map(SecretRef::to_string).collect::<Vec<_>>();
    let found = listed(store.list("plant/").await?);
    ensure!(found == ["plant/a#1", "plant/b#2", "plant/b#10"], "under \"plant/\" is listed: {found:?}");
    let found = listed(store.list("nothing").await?);
    ensure!(found.is_empty(), "under a prefix that nothing has is listed: {found:?}");
    let found = store.list("").await?.len();
    ensure!(found == 6, "an empty prefix lists {found} of 6 secrets");
    Ok(())
}

async fn no_error_shows_a_value(store: Subject) -> Outcome {
    let name = secret("plant/gw")?;
    store.put(&name, value("hidden-one")).await?;
    let again = store.put(&name, value("hidden-two")).await;
    let error = expect_kind(again, ErrorKind::Conflict, "putting another value")?;
    let shown = format!("{error} {error:?} {:?}", error.to_cause());
    ensure!(!shown.contains("hidden"), "the error shows a value");
    Ok(())
}

async fn values_put_at_the_same_time_are_all_kept(store: Subject) -> Outcome {
    let names = (0..16).map(|n| secret(&format!("plant/d{n}"))).collect::<Result<Vec<_>>>()?;
    futures::future::try_join_all(names.iter().map(|name| store.put(name, value(name.name())))).await?;
    for name in &names {
        expect_value(&store, &name.to_string(), name.name()).await?;
    }
    Ok(())
}

async fn of_two_values_put_at_the_same_time_one_wins(store: Subject) -> Outcome {
    let name = secret("plant/gw")?;
    let (a, b) = futures::join!(store.put(&name, value("a")), store.put(&name, value("b")));
    let (winner, lost) = match (a, b) {
        (Ok(()), lost) => ("a", lost),
        (lost, Ok(())) => ("b", lost),
        (Err(error), Err(_)) => return Err(error.into()),
    };
    expect_kind(lost, ErrorKind::Conflict, "the later put")?;
    expect_value(&store, "plant/gw", winner).await
}
