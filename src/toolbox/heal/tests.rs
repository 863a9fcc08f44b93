//! Healing.
