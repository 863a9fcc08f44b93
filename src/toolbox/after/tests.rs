//! After a change.
