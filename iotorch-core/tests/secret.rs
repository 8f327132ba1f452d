//! The secret stores do what every secret store has to do, and what only they promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use iotorch_core::{
    Error, ErrorKind,
    secret::{
        EnvSecretStore, FileSecretStore, MemorySecretStore, SecretRef, SecretStore, SecretStores,
        SecretValue, mint,
    },
    testing::{self, Failures},
};
use tempfile::TempDir;

#[tokio::test]
async fn the_memory_store_does_what_every_secret_store_does() -> Result<(), Failures> {
    let make = || Arc::new(MemorySecretStore::default()) as Arc<dyn SecretStore>;
    testing::run(testing::secret::trials(move || Box::pin(async move { make() }))).await
}

#[tokio::test]
async fn the_file_store_does_what_every_secret_store_does() -> Result<(), Failures> {
    let folder = Arc::new(TempDir::new().unwrap());
    let inside = Arc::clone(&folder);
    let trials = testing::secret::trials(move || {
        let path = tempfile::Builder::new().tempdir_in(inside.path()).unwrap().keep().join("secrets.json");
        Box::pin(async move { Arc::new(FileSecretStore::open(path).unwrap()) as Arc<dyn SecretStore> })
    });
    testing::run(trials).await
}

#[tokio::test]
async fn the_stores_together_do_what_every_secret_store_does() -> Result<(), Failures> {
    let make = || {
        // A variable without the prefix of its own is in nobody's way.
        let main = Arc::new(MemorySecretStore::default());
        Arc::new(SecretStores::new(main, EnvSecretStore::default())) as Arc<dyn SecretStore>
    };
    testing::run(testing::secret::trials(move || Box::pin(async move { make() }))).await
}

fn secret(name: &str) -> SecretRef {
    name.parse().unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.into())
}

fn chain(error: &Error) -> String {
    error.to_cause().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn minted_secrets_are_long_different_and_need_no_quoting() {
    let (one, two) = (mint(), mint());
    assert_eq!(one.expose().len(), 64);
    assert!(one.expose().chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    assert_ne!(one.expose(), two.expose());
}

#[tokio::test]
async fn a_file_and_its_folder_are_for_their_owner_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("private/deep/secrets.json");
    let store = FileSecretStore::open(&path).unwrap();
    assert!(!path.exists(), "reading made a file");
    store.remove(&secret("absent")).await.unwrap();
    assert!(!path.exists(), "removing what is not there made a file");
    store.put(&secret("gw"), mint()).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&folder.path().join("private")), 0o700);
    assert_eq!(mode(&folder.path().join("private/deep")), 0o700);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_file_that_others_can_read_is_refused_with_the_way_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    let store = FileSecretStore::open(&path).unwrap();
    store.put(&secret("gw"), value("s3cret")).await.unwrap();
    for wrong in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(wrong)).unwrap();
        let refused = FileSecretStore::open(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
        assert_eq!(refused.help(), Some(format!("chmod 600 {}", path.display()).as_str()));
        let refused = store.put(&secret("other"), value("s3cret")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(FileSecretStore::open(&path).unwrap().fetch(&secret("gw")).await.unwrap(), value("s3cret"));
}

#[tokio::test]
async fn a_file_is_replaced_as_a_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    let store = FileSecretStore::open(&path).unwrap();
    store.put(&secret("gw"), value("s3cret")).await.unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    store.put(&secret("gw"), value("s3cret")).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before, "the same value was written again");
    // What a process that died left behind is in nobody's way.
    fs::write(folder.path().join("secrets.json.new"), "half a fi").unwrap();
    store.put(&secret("gw#2"), value("s3cret-2")).await.unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "{\n  \"format\": 1,\n  \"secrets\": {\n    \"gw#1\": \"s3cret\",\n    \"gw#2\": \"s3cret-2\"\n  }\n}\n"
    );
}

#[tokio::test]
async fn two_handles_on_one_file_see_what_the_other_does() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    let (one, two) = (FileSecretStore::open(&path).unwrap(), FileSecretStore::open(&path).unwrap());
    let puts = (0..20).map(|n| {
        let store = if n % 2 == 0 { &one } else { &two };
        async move { store.put(&secret(&format!("d{n}")), mint()).await }
    });
    futures::future::try_join_all(puts).await.unwrap();
    assert_eq!(one.list("").await.unwrap().len(), 20);
    one.remove(&secret("d3")).await.unwrap();
    assert_eq!(two.fetch(&secret("d3")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_damaged_file_is_told_without_what_is_in_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    for text in [
        "hidden",
        "{\"format\": 1, \"secrets\": {\"gw\": {\"hidden\": 1}}}",
        "{\"format\": 1, \"secrets\": {\"hidden\u{0}\": \"x\"}}",
        "{\"format\": 1, \"secrets\": \"hidden\"}",
        "{\"format\": \"hidden\", \"secrets\": {}}",
        "{\"format\": 1, \"secrets\": {\"gw\": \"hidden",
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let refused = FileSecretStore::open(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unexpected, "{text}");
        assert!(!format!("{refused:?} {}", chain(&refused)).contains("hidden"), "{refused:?}");
        assert!(chain(&refused).contains("line 1"), "{}", chain(&refused));
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    fs::write(&path, "{\"format\": 9, \"vault\": true}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = FileSecretStore::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(chain(&refused).contains("(format 9, this one reads up to 1)"), "{}", chain(&refused));
}

#[tokio::test]
async fn a_file_is_kept_when_the_next_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.json");
    let store = FileSecretStore::open(&path).unwrap();
    store.put(&secret("gw"), value("s3cret")).await.unwrap();
    // Where the next file is to be written there is a directory, which not even the superuser can write to as a file.
    fs::create_dir(folder.path().join("secrets.json.new")).unwrap();
    let refused = store.put(&secret("other"), value("hidden")).await.unwrap_err();
    assert!(refused.to_string().starts_with("cannot write the secrets in \""), "{refused}");
    assert!(!format!("{refused:?}").contains("hidden"));
    assert_eq!(store.fetch(&secret("gw")).await.unwrap(), value("s3cret"));
    assert_eq!(store.fetch(&secret("other")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn variables_are_read_and_never_written() {
    let vars = [("HUB_TOKEN", "t0ken"), ("EMPTY", ""), ("strange name", "x")];
    let store = EnvSecretStore::from_vars(vars);
    assert_eq!(store.fetch(&secret("env:HUB_TOKEN")).await.unwrap(), value("t0ken"));
    assert_eq!(store.fetch(&secret("env:EMPTY")).await.unwrap(), value(""));
    let absent = store.fetch(&secret("env:HUB_PASSWORD")).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert!(absent.help().unwrap_or_default().contains("HUB_PASSWORD"), "{absent:?}");
    assert_eq!(store.fetch(&secret("env:HUB_TOKEN#2")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.list("env:").await.unwrap(), [secret("env:EMPTY"), secret("env:HUB_TOKEN")]);
    let refused = store.put(&secret("env:NEW"), value("hidden")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(!format!("{refused:?}").contains("hidden"));
    let refused = store.remove(&secret("env:HUB_TOKEN")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(!format!("{store:?}").contains("t0ken"));
}

#[tokio::test]
async fn references_go_to_the_store_they_belong_to() {
    let main = Arc::new(MemorySecretStore::default());
    let stores = SecretStores::new(
        Arc::clone(&main) as Arc<dyn SecretStore>,
        EnvSecretStore::from_vars([("HUB_TOKEN", "t0ken")]),
    );
    stores.put(&secret("plant/gw"), value("s3cret")).await.unwrap();
    assert_eq!(main.fetch(&secret("plant/gw")).await.unwrap(), value("s3cret"));
    assert_eq!(stores.fetch(&secret("env:HUB_TOKEN")).await.unwrap(), value("t0ken"));
    assert_eq!(stores.list("").await.unwrap(), [secret("env:HUB_TOKEN"), secret("plant/gw")]);
    let refused = stores.put(&secret("env:NEW"), value("x")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    stores.remove(&secret("plant/gw")).await.unwrap();
    assert!(main.list("").await.unwrap().is_empty());
}
