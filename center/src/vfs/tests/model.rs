//! Random operations give the same results here and in a small model.
