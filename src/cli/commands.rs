//! One file for each command.

pub(crate) mod annotate;
pub(crate) mod checkpoint;
pub(crate) mod compare;
pub(crate) mod dataset;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod fork;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod models;
pub(crate) mod play;
pub(crate) mod rewind;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod show;
pub(crate) mod store;
pub(crate) mod terminal;
pub(crate) mod train;
pub(crate) mod trust;
