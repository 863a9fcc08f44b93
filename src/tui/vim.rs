//! Vim's keys where a prompt is written, for those who ask for them.
//!
//! Two modes: what is pressed is written, or moves and cuts. It is told in edits of the composer,
//! so that it does nothing that the other keys could not. Counts, registers and visual mode are
//! absent.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::composer::Edit;

/// Where vim's keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vim {
    /// Keys move and cut.
    pub(crate) is_normal: bool,
    /// The key that waits for another: `d`, `c`, `g`.
    pending: Option<char>,
}

/// What comes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is none of vim's.
    Usual,
    /// These, in their order.
    Edits(&'static [Edit]),
}

use Edit::{
    Backspace, Delete, DeleteLine, DeleteToEnd, DeleteToNextWord, DeleteToStart, DeleteToWordEnd,
    DeleteWord, Down, End, Home, Left, NewLine, NextWord, PutBack, Right, Up, WordLeft, WordRight,
};

impl Vim {
    /// Takes a key.
    pub(crate) fn press(&mut self, key: KeyEvent) -> Meaning {
        let plain = (key.modifiers - KeyModifiers::SHIFT).is_empty();
        if !self.is_normal {
            if plain && key.code == KeyCode::Esc {
                self.is_normal = true;
                return Meaning::Edits(&[Left]);
            }
            return Meaning::Usual;
        }
        let KeyCode::Char(letter) = key.code else {
            // A second escape does what it does without vim.
            self.pending = None;
            return Meaning::Usual;
        };
        if !plain {
            return Meaning::Usual;
        }
        match self.pending.take() {
            Some(before) => self.second(before, letter),
            None => self.first(letter),
        }
    }

    fn first(&mut self, letter: char) -> Meaning {
        let edits: &'static [Edit] = match letter {
            'h' => &[Left],
            'l' | ' ' => &[Right],
            'k' => &[Up],
            'j' => &[Down],
            'w' | 'W' => &[NextWord],
            // Onto its last letter; from there, onto that of the next word.
            'e' | 'E' => &[Right, WordRight, Left],
            'b' | 'B' => &[WordLeft],
            '0' | '^' => &[Home],
            '$' => &[End, Left],
            'x' => &[Delete],
            'X' => &[Backspace],
            'D' => &[DeleteToEnd],
            'p' => &[Right, PutBack],
            'P' => &[PutBack],
            'i' => return self.write(&[]),
            'a' => return self.write(&[Right]),
            'I' => return self.write(&[Home]),
            'A' => return self.write(&[End]),
            'o' => return self.write(&[End, NewLine]),
            'O' => return self.write(&[Home, NewLine, Up]),
            's' => return self.write(&[Delete]),
            'C' => return self.write(&[DeleteToEnd]),
            'S' => return self.write(&[Home, DeleteToEnd]),
            'd' | 'c' => {
                self.pending = Some(letter);
                &[]
            }
            // What else begins a command of limn's stays one.
            '/' | '!' | '?' => {
                self.is_normal = false;
                return Meaning::Usual;
            }
            _ => &[],
        };
        Meaning::Edits(edits)
    }

    fn second(&mut self, before: char, letter: char) -> Meaning {
        let edits: &'static [Edit] = match (before, letter) {
            ('d', 'd') => &[DeleteLine],
            ('c', 'c') => &[Home, DeleteToEnd],
            ('d', 'w' | 'W') => &[DeleteToNextWord],
            // To change a word leaves the blank behind it.
            (_, 'w' | 'W' | 'e' | 'E') => &[DeleteToWordEnd],
            (_, 'b') => &[DeleteWord],
            (_, '$') => &[DeleteToEnd],
            (_, '0' | '^') => &[DeleteToStart],
            (_, 'h') => &[Backspace],
            (_, 'l') => &[Delete],
            _ => return Meaning::Edits(&[]),
        };
        if before == 'c' { self.write(edits) } else { Meaning::Edits(edits) }
    }

    fn write(&mut self, edits: &'static [Edit]) -> Meaning {
        self.is_normal = false;
        Meaning::Edits(edits)
    }
}

#[cfg(test)]
mod tests;
