//! Drawing: what the view holds, laid out in the rows there are. One file for each part.
//!
//! Nothing here decides anything. What is kept between two frames is rows that were laid out, so
//! that a frame costs what it shows.

mod attached;
mod composer;
mod conversation;
mod decision;
mod help;
mod ink;
mod menu;
mod panel;
mod playback;
mod start;
mod status;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use ink::put;

use crate::selection::Tab;
use crate::text::tab_of;
use crate::view::{Menu, View};

/// The least that a terminal must have.
const COLUMNS_MIN: u16 = 24;
const ROWS_MIN: u16 = 8;

/// Columns at the left of the conversation, for its signs.
const MARGIN: u16 = 2;

/// Lines that are wider than this are hard to read.
const COLUMNS_MAX: u16 = 140;

/// Draws everything into a buffer that is blank.
pub fn draw(view: &mut View, buffer: &mut Buffer) {
    let area = buffer.area;
    // What is not drawn is not clicked at either.
    view.room.seen = Rect::ZERO;
    view.room.side = Rect::ZERO;
    view.room.tabs.clear();
    view.room.cursor = None;
    view.room.is_too_small = area.width < COLUMNS_MIN || area.height < ROWS_MIN;
    if view.room.is_too_small {
        return too_small(view, buffer);
    }
    if let Some(exec) = view.panel.attached.as_ref().map(|attached| attached.exec) {
        attached::draw(view, buffer, area, exec);
        return complete(buffer, &mut view.room.tabs);
    }
    let panel = match panel::width(view, area.width) {
        // What is asked about is seen, whatever was looked at in its place.
        panel if panel == area.width && view.decision.is_some() => 0,
        panel => panel,
    };
    let is_beside = panel < area.width;
    let columns = if is_beside { area.width - panel } else { area.width };
    view.room.columns = usize::from((columns - MARGIN).saturating_sub(1).min(COLUMNS_MAX));
    view.room.is_beside = is_beside;
    if view.help.is_some() {
        return help::draw(view, buffer, area);
    }
    let [area, status] = split(area, area.height - 1);
    status::draw(view, buffer, status);
    let wanted = match (&view.facts.playback, &view.decision) {
        (Some(_), _) => playback::ROWS,
        (None, Some(_)) => decision::height(view, area),
        (None, None) => composer::height(view, area),
    };
    let [conversation, below] = split(area, area.height.saturating_sub(wanted));
    match (view.facts.playback, &view.decision) {
        (Some(playback), _) => playback::draw(view, &playback, buffer, below),
        (None, Some(_)) => decision::draw(view, buffer, below),
        (None, None) => composer::draw(view, buffer, below),
    }
    let menu = if view.menu.as_ref().is_some_and(Menu::is_about_what_is_shown) {
        menu::height(view, conversation.height)
    } else {
        0
    };
    let [conversation, listed] = split(conversation, conversation.height - menu);
    let (conversation, side) = if is_beside {
        let beside = Rect { x: conversation.x + columns, width: panel, ..conversation };
        (Rect { width: columns, ..conversation }, beside)
    } else {
        (conversation, conversation)
    };
    if panel > 0 {
        view.room.side = side;
        panel::draw(view, buffer, side, is_beside);
    }
    if panel > 0 && !is_beside {
        // It stands in the conversation's place.
    } else if view.conversation.is_empty() {
        start::draw(view, buffer, conversation);
    } else {
        view.room.seen = conversation;
        conversation::draw(view, buffer, conversation);
    }
    if view.decision.is_none() {
        let above = if menu > 0 { listed } else { conversation };
        menu::draw(view, buffer, above);
    }
    complete(buffer, &mut view.room.tabs);
}

/// What begins a tab becomes a blank, and where it stands is kept. Terminals do not agree on how wide
/// characters are that others have been joined to: families, hearts with a selector, hands of a
/// colour. Their first alone is drawn, which is as wide everywhere.
fn complete(buffer: &mut Buffer, tabs: &mut Vec<Tab>) {
    let joins = |c: char| matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    let Rect { x, y, width, .. } = buffer.area;
    for (at, cell) in buffer.content.iter_mut().enumerate() {
        let symbol = cell.symbol();
        // Letters with their marks are shorter.
        if symbol.len() < 4 {
            continue;
        }
        if let Some(columns) = tab_of(symbol) {
            let cells = |count: usize| u16::try_from(count).unwrap_or(0);
            let (row, column) = (at / usize::from(width), at % usize::from(width));
            let at = Position { x: x + cells(column), y: y + cells(row) };
            tabs.push(Tab { at, columns });
            cell.set_symbol(" ");
        } else if symbol.chars().skip(1).any(joins) {
            let first: String = symbol.chars().take(1).collect();
            cell.set_symbol(&first);
        }
    }
}

/// The area above so many rows' end, and the one below.
fn split(area: Rect, rows: u16) -> [Rect; 2] {
    let rows = rows.min(area.height);
    [Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area }]
}

/// Lines from the top of an area on.
fn lines(buffer: &mut Buffer, area: Rect, lines: &[Line<'_>]) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        put(buffer, (area.x, y), line, area.width);
    }
}

fn too_small(view: &View, buffer: &mut Buffer) {
    let area = buffer.area;
    let word = format!("limn likes {COLUMNS_MIN} × {ROWS_MIN}.");
    let text =
        [Line::styled(word, view.theme.text), Line::styled("Please widen me.", view.theme.dim)];
    lines(buffer, area, &text);
}
