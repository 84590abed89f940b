//! Two ports, their connection cut at any byte.
