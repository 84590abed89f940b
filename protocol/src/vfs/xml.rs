//! XML form of requests and replies.
