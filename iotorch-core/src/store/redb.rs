//! The embedded store.

/// A store in one file.
#[derive(Debug)]
pub struct RedbStore;
