//! The last line: mode, sandbox, model, and what it took so far.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use trajectory::ApprovalMode;

use super::put;
use crate::text::{short_number, shorten};
use crate::view::View;

pub(super) fn draw(view: &View, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width);
    let right = right(view);
    let right_width: usize = right.iter().map(Span::width).sum();
    // What is said at the left is about safety, so it is never the part that gives way.
    let left = left(view, columns);
    let left_width: usize = left.iter().map(Span::width).sum();
    let mut spans = left;
    if left_width + right_width + 2 <= columns {
        spans.push(Span::raw(" ".repeat(columns - left_width - right_width - 1)));
        spans.extend(right);
    }
    put(buffer, (area.x, area.y), &Line::from(spans), area.width);
}

fn left(view: &View, columns: usize) -> Vec<Span<'static>> {
    let (theme, facts) = (&view.theme, &view.facts);
    let mode = match facts.mode {
        ApprovalMode::ReadOnly => theme.success,
        ApprovalMode::Ask => theme.accent,
        ApprovalMode::Auto => theme.warning,
        ApprovalMode::All => theme.error,
    };
    let sandbox = if facts.sandbox == "off" { theme.warning } else { theme.dim };
    let tier = if facts.sandbox.is_empty() { "…" } else { &facts.sandbox };
    let mut spans = vec![
        Span::styled(format!(" {}", facts.mode.as_str()), mode),
        Span::styled(" · ", theme.faint),
        Span::styled(format!("sandbox {}", shorten(tier, 12)), sandbox),
    ];
    let used: usize = spans.iter().map(Span::width).sum();
    let (model, style): (&str, Style) = match &facts.model {
        Some(model) => (model, theme.dim),
        None => ("no model", theme.warning),
    };
    let model = shorten(model, columns.saturating_sub(used + 4).min(40));
    spans.push(Span::styled(" · ", theme.faint));
    spans.push(Span::styled(model, style));
    if facts.is_private {
        spans.push(Span::styled(" · ", theme.faint));
        spans.push(Span::styled("private", theme.warning));
    }
    spans
}

fn right(view: &View) -> Vec<Span<'static>> {
    let theme = &view.theme;
    let mut parts: Vec<(String, Style)> = Vec::new();
    if view.spent.context_tokens > 0 {
        let part = match view.facts.window.filter(|window| *window > 0) {
            Some(window) => {
                let percent = view.spent.context_tokens.saturating_mul(100) / window;
                let style = if percent >= 80 { theme.warning } else { theme.dim };
                (format!("context {percent} %"), style)
            }
            None => (format!("context {}", short_number(view.spent.context_tokens)), theme.dim),
        };
        parts.push(part);
    }
    if view.spent.usage.total() > 0 {
        parts.push((format!("{} tokens", short_number(view.spent.usage.total())), theme.dim));
        if let Some(price) = view.facts.price {
            parts.push((dollars(price.cost(&view.spent.usage)), theme.dim));
        }
    }
    let mut spans = Vec::new();
    for (number, (text, style)) in parts.into_iter().enumerate() {
        if number > 0 {
            spans.push(Span::styled(" · ", theme.faint));
        }
        spans.push(Span::styled(text, style));
    }
    spans
}

fn dollars(cost: f64) -> String {
    if cost == 0.0 {
        "$0".to_owned()
    } else if cost < 0.1 {
        format!("${cost:.4}")
    } else {
        format!("${cost:.2}")
    }
}
