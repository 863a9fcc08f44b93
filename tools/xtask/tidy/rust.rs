//! Rules that need the grammar of Rust: lengths, sizes, loose ends, `unsafe`, module docs.
//!
//! Test code is not measured: `tests.rs`, the folder `tests/` at the root, and whatever is under
//! `#[cfg(test)]` or `#[test]`, also when that names a module in another file.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::Finding;
use super::files::File;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
const STRUCT_FIELDS_MAX: usize = 20;
const ENUM_VARIANTS_MAX: usize = 25;

pub(super) const FILE_LINES: &str = "file-lines";

/// Where the language's guarantees may be left, by folder.
const UNSAFE_ALLOWED: &[&str] = &["src/sandbox/", "src/train/torch/"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let rust = |file: &&File| file.has_extension(&["rs"]) && !file.path.starts_with("recordings/");
    let mut findings = Vec::new();
    let mut parsed = Vec::new();
    for file in files.iter().filter(rust) {
        findings.extend(module_docs(file));
        findings.extend(loose_comments(file));
        match parse(file) {
            Ok((tokens, tree)) => {
                findings.extend(tokens_of(file, tokens));
                parsed.push((file, tree));
            }
            Err(finding) => findings.push(finding),
        }
    }
    let tests: BTreeSet<String> =
        parsed.iter().flat_map(|(file, tree)| test_modules(file, tree)).collect();
    for (file, tree) in parsed.iter().filter(|(file, _)| !is_test(file, &tests)) {
        findings.extend(sizes(file, tree));
    }
    findings
}

fn parse(file: &File) -> Result<(TokenStream, syn::File), Finding> {
    let failed = |line: usize, error: String| {
        Finding::new(&file.path, line, "syntax", format!("this is not Rust: {error}"))
            .remedy("Make it compile first.")
    };
    let tokens: TokenStream =
        file.text.parse().map_err(|error: proc_macro2::LexError| failed(1, error.to_string()))?;
    let tree = syn::parse2(tokens.clone())
        .map_err(|error: syn::Error| failed(error.span().start().line, error.to_string()))?;
    Ok((tokens, tree))
}

fn module_docs(file: &File) -> Option<Finding> {
    let ours = file.path.starts_with("src/") || file.path.starts_with("tools/");
    // The name of tests.rs says what it is.
    if !ours || file.name() == "tests.rs" || file.text.starts_with("//!") {
        return None;
    }
    let finding = Finding::new(&file.path, 1, "module-docs", "it has no module docs".to_owned());
    Some(finding.remedy("Begin with //!: purpose, lifecycle, and what is absent on purpose."))
}

/// Comments that say the work is not done. They are told from strings by counting quotes, which
/// is good enough for a word in capitals.
fn loose_comments(file: &File) -> Vec<Finding> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let comment = line.match_indices("//").find(|(at, _)| {
            let quotes = line[..*at].replace("\\\"", "").matches('"').count();
            quotes % 2 == 0
        });
        let Some((start, _)) = comment else { continue };
        let mut words = line[start..].split(|it: char| !it.is_alphanumeric() && it != '_');
        if let Some(mark) = words.find(|word| marks.contains(word)) {
            let what = format!("a comment says {mark}");
            findings.push(
                Finding::new(&file.path, at + 1, "loose-end", what)
                    .remedy("Do it, or open an issue and say here how things are."),
            );
        }
    }
    findings
}

/// What stands in the way anywhere, inside macros too: `unsafe`, and bodies yet to be written.
fn tokens_of(file: &File, tokens: TokenStream) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open = vec![tokens.into_iter().peekable()];
    while let Some(tokens) = open.last_mut() {
        let Some(token) = tokens.next() else {
            open.pop();
            continue;
        };
        let bang = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
        match token {
            TokenTree::Ident(word) => findings.extend(word_of(file, &word, bang)),
            TokenTree::Group(group) => open.push(group.stream().into_iter().peekable()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    findings
}

fn word_of(file: &File, word: &proc_macro2::Ident, bang: bool) -> Option<Finding> {
    let line = word.span().start().line;
    let allowed = UNSAFE_ALLOWED.iter().any(|folder| file.path.starts_with(folder));
    if word == "unsafe" && !allowed {
        let what = format!("`unsafe` stands only in {}", UNSAFE_ALLOWED.join(", "));
        return Some(
            Finding::new(&file.path, line, "unsafe", what)
                .remedy("Use a safe interface of the standard library, rustix or nix."),
        );
    }
    let unwritten = word == "todo" || word == "unimplemented";
    if bang && unwritten {
        let what = format!("`{word}!` is left here");
        return Some(Finding::new(&file.path, line, "loose-end", what).remedy("Write it."));
    }
    None
}

/// The files (and folders, ending in `/`) of modules that exist under `#[cfg(test)]` only.
fn test_modules(file: &File, tree: &syn::File) -> Vec<String> {
    let stem = file.name().trim_end_matches(".rs");
    let inside = match stem {
        "lib" | "main" | "mod" => file.folder().to_owned(),
        _ => format!("{}{stem}/", file.folder()),
    };
    let modules = tree.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    modules.flat_map(|name| [format!("{inside}{name}.rs"), format!("{inside}{name}/")]).collect()
}

fn is_test(file: &File, modules: &BTreeSet<String>) -> bool {
    file.path.starts_with("tests/")
        || file.name() == "tests.rs"
        || modules.iter().any(|module| {
            file.path == *module || module.ends_with('/') && file.path.starts_with(module)
        })
}

/// `#[test]`, `#[tokio::test]` and every `#[cfg(test)]`, but not `#[cfg(not(test))]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let words: Vec<String> = words(list.tokens.clone());
            words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not")
        }
        meta => meta.path().segments.last().is_some_and(|segment| segment.ident == "test"),
    })
}

fn words(tokens: TokenStream) -> Vec<String> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(word) => vec![word.to_string()],
            TokenTree::Group(group) => words(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
        })
        .collect()
}

fn sizes(file: &File, tree: &syn::File) -> Vec<Finding> {
    let mut sizes = Sizes { path: &file.path, findings: Vec::new(), test_lines: 0 };
    sizes.visit_file(tree);
    let lines = file.text.lines().count().saturating_sub(sizes.test_lines);
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, tests not counted; {FILE_LINES_MAX} are allowed");
        let finding = Finding::new(&file.path, 1, FILE_LINES, what).measured(lines);
        sizes.findings.push(finding.remedy("Give each of its subjects a module of its own."));
    }
    sizes.findings
}

struct Sizes<'a> {
    path: &'a str,
    findings: Vec<Finding>,
    /// Lines of this file that are test code.
    test_lines: usize,
}

impl Sizes<'_> {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = span(signature, block);
        let count = lines.end() + 1 - lines.start();
        if count > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let what = format!("`{name}` has {count} lines; {FUNCTION_LINES_MAX} are allowed");
            let finding = Finding::new(self.path, *lines.start(), "function-lines", what);
            let remedy = "Give the steps names: one function each.";
            self.findings.push(finding.measured(count).remedy(remedy));
        }
    }

    fn fields(&mut self, name: &syn::Ident, fields: &syn::Fields) {
        if fields.len() > STRUCT_FIELDS_MAX {
            let count = fields.len();
            let what = format!("`{name}` has {count} fields; {STRUCT_FIELDS_MAX} are allowed");
            let line = name.span().start().line;
            let finding = Finding::new(self.path, line, "struct-fields", what).measured(count);
            self.findings.push(finding.remedy("Group the fields that change together."));
        }
    }

    fn skip(&mut self, attributes: &[syn::Attribute], last_line: usize) {
        let first = attributes.first().map_or(last_line, |it| it.pound_token.span.start().line);
        self.test_lines += last_line + 1 - first;
    }
}

/// From the line of `fn` to that of the closing brace.
fn span(signature: &syn::Signature, block: &syn::Block) -> RangeInclusive<usize> {
    signature.fn_token.span.start().line..=close(&block.brace_token)
}

fn close(brace: &syn::token::Brace) -> usize {
    brace.span.close().end().line
}

impl<'ast> Visit<'ast> for Sizes<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        match &item.content {
            Some((brace, _)) if is_for_tests(&item.attrs) => self.skip(&item.attrs, close(brace)),
            _ => visit::visit_item_mod(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_for_tests(&item.attrs) {
            self.skip(&item.attrs, close(&item.block.brace_token));
        } else {
            self.function(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if is_for_tests(&item.attrs) {
            self.skip(&item.attrs, close(&item.brace_token));
        } else {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_for_tests(&item.attrs) {
            self.skip(&item.attrs, close(&item.block.brace_token));
        } else {
            self.function(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.fields(&item.ident, &item.fields);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        let count = item.variants.len();
        if count > ENUM_VARIANTS_MAX {
            let name = &item.ident;
            let what = format!("`{name}` has {count} variants; {ENUM_VARIANTS_MAX} are allowed");
            let line = name.span().start().line;
            let finding = Finding::new(self.path, line, "enum-variants", what).measured(count);
            self.findings.push(finding.remedy("Make families of them: an enum of enums."));
        }
        for variant in &item.variants {
            self.fields(&variant.ident, &variant.fields);
        }
        visit::visit_item_enum(self, item);
    }
}
