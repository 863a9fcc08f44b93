//! What the parser may do to the terminal: everything that changes text or answers a question,
//! nothing that reaches outside (titles, clipboard, links, palette).

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, Handler, LineClearMode, Mode, PrivateMode, StandardCharset,
    TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

use crate::collector::Collector;
use crate::core::{Replies, append_rows};

/// The terminal as the parser sees it.
pub(crate) struct Screen<'a> {
    pub(crate) term: &'a mut Term<Replies>,
    /// Where rows go that scroll off, if they are not to stay in the scrollback.
    pub(crate) collector: Option<&'a mut Collector>,
    /// How many more characters may come of the byte being parsed.
    pub(crate) repeats_left: Option<usize>,
}

impl Screen<'_> {
    /// Rows of history that may pile up before they are collected.
    const HISTORY_ROWS_MAX: usize = 256;
    /// Accents on one character; a cell would take any number.
    const ACCENTS_MAX: usize = 8;

    #[inline]
    fn collect_if_full(&mut self) {
        if self.collector.is_some() && self.term.history_size() > Self::HISTORY_ROWS_MAX {
            self.collect();
        }
    }

    #[cold]
    fn collect(&mut self) {
        if let Some(collector) = self.collector.as_deref_mut() {
            let top = self.term.topmost_line().0;
            append_rows(self.term, top..0, collector);
            self.term.grid_mut().clear_history();
        }
    }

    /// Whether the character that a zero-width one would join already carries enough of them.
    fn is_overloaded(&self) -> bool {
        let grid = self.term.grid();
        let cursor = &grid.cursor;
        let mut column = cursor.point.column;
        if !cursor.input_needs_wrap {
            column.0 = column.0.saturating_sub(1);
        }
        let row = &grid[cursor.point.line];
        if row[column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column.0 = column.0.saturating_sub(1);
        }
        row[column].zerowidth().is_some_and(|accents| accents.len() >= Self::ACCENTS_MAX)
    }
}

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(
            #[inline]
            fn $name(&mut self, $($argument: $kind),*) {
                Handler::$name(&mut *self.term, $($argument),*);
                self.collect_if_full();
            }
        )*
    };
}

impl Handler for Screen<'_> {
    #[inline]
    fn input(&mut self, c: char) {
        if let Some(left) = &mut self.repeats_left {
            let Some(fewer) = left.checked_sub(1) else {
                return;
            };
            *left = fewer;
        }
        if c >= '\u{80}' && c.width() == Some(0) && self.is_overloaded() {
            return;
        }
        self.term.input(c);
        self.collect_if_full();
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        // What has scrolled off was printed: a model is shown it even if a terminal forgets it.
        if matches!(mode, ClearMode::Saved) && self.collector.is_some() {
            return self.collect();
        }
        self.term.clear_screen(mode);
        self.collect_if_full();
    }

    fn reset_state(&mut self) {
        if self.collector.is_some() {
            if self.term.mode().contains(TermMode::ALT_SCREEN) {
                self.term.swap_alt();
            }
            self.term.clear_screen(ClearMode::All);
            self.collect();
        }
        self.term.reset_state();
    }

    pass_on! {
        set_horizontal_tabstop();
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        goto(line: i32, column: usize);
        goto_line(line: i32);
        goto_col(column: usize);
        insert_blank(count: usize);
        move_up(count: usize);
        move_down(count: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(kind: usize);
        move_forward(count: usize);
        move_backward(count: usize);
        move_down_and_cr(count: usize);
        move_up_and_cr(count: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        linefeed();
        substitute();
        newline();
        scroll_up(count: usize);
        scroll_down(count: usize);
        insert_blank_lines(count: usize);
        delete_lines(count: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        move_backward_tabs(count: u16);
        move_forward_tabs(count: u16);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        set_private_mode(mode: PrivateMode);
        unset_private_mode(mode: PrivateMode);
        report_private_mode(mode: PrivateMode);
        set_scrolling_region(top: usize, bottom: Option<usize>);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        set_active_charset(index: CharsetIndex);
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        decaln();
        text_area_size_chars();
    }
}
