//! The terminal: what is recorded, drawn; what is pressed, told.
//!
//! A [`View`] folds the events that are recorded, and what flickers between them, and turns keys
//! into [`Command`]s; [`draw()`] lays it out; [`Tui`] is the loop that has a terminal and a stream
//! of keys, both of which it is given. The session is on the other side of [`Update`] and [`Command`],
//! and nothing of it is named here.
//!
//! Everything that comes from a model, a tool or a file is cleaned where it comes in: no escape
//! sequence of theirs is ever written to the terminal.

mod attach;
mod canvas;
mod card;
mod commands;
mod composer;
mod conversation;
mod decision;
mod diff;
mod draw;
mod entry;
mod highlight;
mod input;
mod keys;
mod markdown;
mod panel;
mod protocol;
mod run;
mod selection;
mod taste;
mod terminal;
mod text;
mod theme;
mod thought;
mod view;
mod vim;

pub use draw::draw;
pub use input::{Input, Keys};
pub use protocol::{
    Answer, Command, Edits, Facts, Found, Order, Place, Play, Playback, Preview, Price, Query,
    Rating, Recent, Rewind, RewindWhat, Round, Update, Wrote,
};
pub use run::{Edited, Outside, Tui};
pub use screen::thousands;
pub use taste::{Notify, Taste, Wrong};
pub use terminal::{Screen, is_capable, leave_by_panic};
pub use text::wrapped;
pub use theme::{Background, Depth};
pub use view::View;
