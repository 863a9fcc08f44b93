//! Stories: the built program, real files, a real terminal for its commands, a real server on
//! loopback. Nothing here knows how limn is made inside, except where a story says what must be in
//! the store.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

mod answers;
mod attachments;
mod bad_exports;
mod bad_input;
mod compare;
mod context;
mod datasets;
mod demo;
mod disks;
mod edits;
mod export;
mod faults;
mod forms;
mod jobs;
mod killed;
mod local_models;
mod loop_and_log;
mod packages;
mod peers;
mod play;
mod policy;
mod privacy;
mod providers;
mod real_model;
mod real_workspace;
mod resume;
mod rewind;
mod sampled;
mod samples;
mod search;
mod sharing;
mod stage;
mod store;
mod terminal;
mod terminal_away;
mod terminal_day;
mod terminal_ends;
mod terminal_hand;
mod terminal_hostile;
mod terminal_panel;
mod terminal_search;
mod terminal_taste;
mod train;
mod trained;
mod world;
