//! Benchmarks of iotorch.
