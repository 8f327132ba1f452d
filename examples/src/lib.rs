//! Programs that use iotorch.
