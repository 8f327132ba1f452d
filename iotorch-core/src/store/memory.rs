//! The store in memory.

/// A store that lives as long as the process.
#[derive(Debug)]
pub struct MemoryStore;
