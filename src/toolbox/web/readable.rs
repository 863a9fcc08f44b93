//! HTML as text: what a person would read, with headings, lists, links and code kept.
//!
//! It works on the tokens of the page and builds no tree, so it takes linear time, little memory
//! and no recursion, whatever the page holds. Where a page marks its main part, only that is kept.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use reqwest::Url;

/// The longest text that is made of a page, bytes.
const TEXT_BYTES_MAX: usize = 4 << 20;
const LINK_CHARS_MAX: usize = 300;
const LEVELS_MAX: usize = 8;
/// A main part shorter than this is a mistake of the page, characters.
const MAIN_CHARS_MIN: usize = 200;

/// Never read, wherever they stand.
const UNSEEN: &[&[u8]] = &[
    b"script",
    b"style",
    b"template",
    b"noscript",
    b"svg",
    b"math",
    b"iframe",
    b"object",
    b"select",
    b"dialog",
    b"textarea",
];
/// They have no end, so they hide nothing but themselves.
const VOID: &[&[u8]] = &[
    b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta",
    b"source", b"track", b"wbr",
];
/// Around what is to be read.
const AROUND: &[&[u8]] = &[b"nav", b"footer", b"aside"];
/// A blank line stands before and after.
const BLOCKS: &[&[u8]] = &[
    b"p",
    b"ul",
    b"ol",
    b"dl",
    b"table",
    b"blockquote",
    b"figure",
    b"section",
    b"article",
    b"main",
];
/// They begin a line.
const LINES: &[&[u8]] = &[
    b"div",
    b"tr",
    b"dt",
    b"dd",
    b"header",
    b"form",
    b"fieldset",
    b"figcaption",
    b"address",
    b"caption",
    b"option",
    b"summary",
    b"details",
    b"thead",
    b"tbody",
    b"body",
];

/// A page as text.
pub(crate) struct Readable {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// Reads a page; `base` is what its links are relative to.
pub(crate) fn readable(html: &str, base: &Url) -> Readable {
    let page = read(html, base, true);
    // Some pages keep everything in what is usually beside the matter, or never close it.
    if page.text.chars().count() < MAIN_CHARS_MIN {
        let whole = read(html, base, false);
        if whole.text.len() > page.text.len() {
            return whole;
        }
    }
    page
}

fn read(html: &str, base: &Url, leaves_around: bool) -> Readable {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut writer = Writer { base: Some(base), leaves_around, ..Writer::default() };
    for token in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Ok(Token::StartTag(tag)) => writer.open(&tag),
            Ok(Token::EndTag(tag)) => writer.close(&tag.name),
            Ok(Token::String(text)) => writer.put(&String::from_utf8_lossy(&text)),
            Ok(_) => {}
        }
        if writer.text.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    writer.finish()
}

#[derive(Default)]
struct Writer<'a> {
    base: Option<&'a Url>,
    leaves_around: bool,
    text: String,
    title: String,
    is_title: bool,
    /// The element that is not read, and how often it is open.
    skipped: Option<(Vec<u8>, usize)>,
    /// Line ends that stand before the next letter.
    breaks: usize,
    has_space: bool,
    is_verbatim: bool,
    /// The open lists; an ordered one with its next number.
    lists: Vec<Option<usize>>,
    /// Where the text of an open link begins, and where it leads.
    link: Option<(usize, String)>,
    /// Where main parts begin and end, and how many are open.
    main: Vec<(usize, usize)>,
    main_open: usize,
}

impl Writer<'_> {
    fn open(&mut self, tag: &StartTag<()>) {
        let name = tag.name.as_slice();
        if let Some((skipped, depth)) = &mut self.skipped {
            *depth += usize::from(skipped == name && !tag.self_closing);
            return;
        }
        let is_repeated = name == b"title" && !self.title.is_empty();
        let is_around = || AROUND.contains(&name) || is_hidden(tag);
        let is_unseen =
            is_repeated || UNSEEN.contains(&name) || (self.leaves_around && is_around());
        if is_unseen && !tag.self_closing {
            self.skipped = Some((name.to_vec(), 1));
            return;
        }
        match name {
            b"title" => self.is_title = true,
            b"br" => self.line(),
            b"hr" => {
                self.block();
                self.letters("---");
                self.block();
            }
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => self.heading(name),
            b"pre" => {
                self.block();
                self.letters("```\n");
                self.is_verbatim = true;
            }
            b"code" if !self.is_verbatim => self.mark("`"),
            b"li" => self.item(),
            b"td" | b"th" => self.cell(),
            b"a" => self.begin_link(tag),
            b"img" => {
                if let Some(alt) = attribute(tag, b"alt").filter(|alt| !alt.trim().is_empty()) {
                    self.put(&format!("[image: {}]", alt.trim()));
                }
            }
            _ => self.boundary(name),
        }
        match name {
            b"ul" if self.lists.len() < LEVELS_MAX => self.lists.push(None),
            b"ol" if self.lists.len() < LEVELS_MAX => self.lists.push(Some(1)),
            b"main" | b"article" => self.begin_main(),
            _ => {}
        }
    }

    fn close(&mut self, name: &[u8]) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        match name {
            b"title" => self.is_title = false,
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => self.block(),
            b"pre" if self.is_verbatim => {
                self.is_verbatim = false;
                if !self.text.ends_with('\n') {
                    self.text.push('\n');
                }
                self.breaks = 0;
                self.letters("```");
                self.block();
            }
            b"code" if !self.is_verbatim => {
                self.has_space = false;
                self.letters("`");
            }
            b"a" => self.end_link(),
            b"ul" | b"ol" => {
                self.lists.pop();
                if self.lists.is_empty() { self.block() } else { self.line() }
            }
            b"main" | b"article" => {
                self.block();
                self.end_main();
            }
            _ => self.boundary(name),
        }
    }

    /// Text of the page.
    fn put(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if self.is_title {
            self.title.push_str(text);
            return;
        }
        if self.is_verbatim {
            self.letters(text);
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            let letters = word.trim_end();
            if !letters.is_empty() {
                self.letters(letters);
            }
            self.has_space |= letters.len() < word.len();
        }
    }

    /// Letters, after the breaks or the space that are due before them.
    fn letters(&mut self, letters: &str) {
        if self.breaks > 0 && !self.text.is_empty() {
            let have = self.text.bytes().rev().take_while(|byte| *byte == b'\n').count();
            self.text.extend(std::iter::repeat_n('\n', self.breaks.saturating_sub(have)));
        } else if self.has_space && !self.text.is_empty() && !self.text.ends_with(['\n', ' ']) {
            self.text.push(' ');
        }
        self.breaks = 0;
        self.has_space = false;
        self.text.push_str(letters);
    }

    /// A mark that belongs to what follows it.
    fn mark(&mut self, mark: &str) {
        self.letters(mark);
    }

    fn line(&mut self) {
        if self.is_verbatim {
            self.letters("\n");
        }
        self.breaks = self.breaks.max(1);
    }

    fn block(&mut self) {
        self.breaks = self.breaks.max(2);
    }

    /// Where an element begins or ends that stands on lines of its own.
    fn boundary(&mut self, name: &[u8]) {
        if BLOCKS.contains(&name) {
            if self.lists.is_empty() { self.block() } else { self.line() }
        } else if LINES.contains(&name) {
            self.line();
        }
    }

    fn heading(&mut self, name: &[u8]) {
        self.block();
        let level = name.get(1).map_or(1, |digit| usize::from(digit - b'0'));
        self.letters(&"#".repeat(level));
        self.has_space = true;
    }

    fn item(&mut self) {
        self.line();
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{indent}{}.", *number - 1)
            }
            _ => format!("{indent}-"),
        };
        self.letters(&mark);
        self.has_space = true;
        self.breaks = 0;
    }

    fn cell(&mut self) {
        if self.breaks == 0 && !self.text.is_empty() {
            self.has_space = true;
            self.letters("|");
            self.has_space = true;
        }
    }

    fn begin_link(&mut self, tag: &StartTag<()>) {
        self.end_link();
        let target = attribute(tag, b"href").filter(|href| !href.starts_with('#'));
        let target = target.and_then(|href| self.base?.join(href.trim()).ok());
        let target = target.filter(|url| !self.base.is_some_and(|base| is_part(url, base)));
        let target = target.filter(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
        let target = target.map(String::from).filter(|url| url.len() <= LINK_CHARS_MAX);
        if let Some(target) = target.filter(|_| !self.is_verbatim) {
            self.mark("[");
            self.link = Some((self.text.len(), target));
        }
    }

    fn end_link(&mut self) {
        let Some((begin, target)) = self.link.take() else {
            return;
        };
        let inner = self.text.get(begin..).unwrap_or_default();
        if inner.trim().is_empty() {
            // A link without words says nothing.
            self.text.truncate(begin.saturating_sub(1));
        } else if inner.contains('\n') {
            // It goes around blocks: its bracket would close far away.
            self.has_space = true;
            self.letters(&format!("]({target})"));
        } else {
            let space = self.has_space;
            self.has_space = false;
            self.letters(&format!("]({target})"));
            self.has_space = space;
        }
    }

    fn begin_main(&mut self) {
        if self.main_open == 0 {
            self.block();
            self.main.push((self.text.len(), usize::MAX));
        }
        self.main_open += 1;
    }

    fn end_main(&mut self) {
        if self.main_open == 1
            && let Some((_, end)) = self.main.last_mut()
        {
            *end = self.text.len();
        }
        self.main_open = self.main_open.saturating_sub(1);
    }

    fn finish(mut self) -> Readable {
        self.end_link();
        if self.is_verbatim {
            self.letters("\n```");
        }
        let part =
            |(begin, end): &(usize, usize)| self.text.get(*begin..(*end).min(self.text.len()));
        let main: String = self.main.iter().filter_map(part).collect();
        let is_enough = main.trim().chars().count() >= MAIN_CHARS_MIN;
        let text = if is_enough { main } else { self.text };
        let title = self.title.split_whitespace().collect::<Vec<_>>().join(" ");
        Readable { title, text: text.trim().to_owned() }
    }
}

/// Whether a page keeps an element from its readers, or calls it a menu.
fn is_hidden(tag: &StartTag<()>) -> bool {
    let says = |name: &[u8], value: &str| attribute(tag, name).is_some_and(|it| it.trim() == value);
    let style = || attribute(tag, b"style").unwrap_or_default().replace(' ', "");
    !VOID.contains(&tag.name.as_slice())
        && (tag.attributes.contains_key(b"hidden".as_slice())
            || says(b"aria-hidden", "true")
            || says(b"role", "navigation")
            || style().contains("display:none"))
}

/// Whether a link leads to a part of the page it stands on.
fn is_part(url: &Url, base: &Url) -> bool {
    url.fragment().is_some() && {
        let (mut url, mut base) = (url.clone(), base.clone());
        url.set_fragment(None);
        base.set_fragment(None);
        url == base
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests;
