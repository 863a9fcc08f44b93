//! What source code says about itself: where it is broken, what it defines and uses, and which
//! commands a shell line would run.
//!
//! Everything here is a pure function of a text. Grammars are tables inside the program and cost
//! nothing until a text of their language is looked at; queries are compiled once, on first use.
//! Every parse has a limit of size and of time, since the text may be anybody's.
//!
//! Absent: files and walks (the toolbox's), types and names resolved across files (a language
//! server's), and highlighting.

pub mod bash;
mod brackets;
mod check;
mod language;
mod parse;
mod symbols;

pub use check::{ERRORS_MAX, SyntaxError, check, new_errors};
pub use language::Language;
pub use symbols::{Kind, Outline, Symbol, outline, references, symbols};
