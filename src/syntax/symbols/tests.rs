//! Definitions and references, a language each.

use super::*;

#[track_caller]
fn check_outline(path: &str, source: &str, symbols: &[&str], references: &[&str]) {
    let outline = outline(Path::new(path), source).unwrap();
    let shown: Vec<String> = outline
        .symbols
        .iter()
        .map(|Symbol { name, line, signature, .. }| format!("{line} {name}: {signature}"))
        .collect();
    assert_eq!(shown, symbols, "{path}");
    for name in references {
        assert!(outline.references.contains_key(*name), "{path}: {:?}", outline.references);
    }
    for symbol in &outline.symbols {
        assert!(source.contains(&symbol.name));
    }
}

#[test]
fn every_query_compiles() {
    for language in [
        Language::Rust,
        Language::Python,
        Language::JavaScript,
        Language::TypeScript,
        Language::Tsx,
        Language::Go,
        Language::C,
        Language::Cpp,
        Language::Java,
        Language::Bash,
    ] {
        let query = Query::new(&language.grammar(), query_of(language).unwrap());
        assert!(query.is_ok(), "{language:?}: {query:?}");
        assert!(compiled(language).is_some());
    }
    assert_eq!(outline(Path::new("a.json"), "{}"), None);
}

#[test]
fn compiled_languages() {
    check_outline(
        "a.rs",
        "pub struct A<T> { b: T }\nimpl A<u8> {\n    pub fn new(\n        b: u8,\n    ) -> Self {\n        \
         c(b)\n    }\n}\nconst D: u8 = E;\n",
        &["1 A: pub struct A<T>", "3 new: pub fn new( b: u8, ) -> Self", "9 D: const D: u8 = E"],
        &["A", "c", "E", "b"],
    );
    check_outline(
        "a.go",
        "package a\ntype B struct {\n\tc int\n}\nfunc (b *B) D(x int) error { return E(x) }\n",
        &["2 B: B struct", "5 D: func (b *B) D(x int) error"],
        &["E", "B"],
    );
    check_outline(
        "a.c",
        "#define A 1\nstruct b { int c; };\nstatic char *d(int e)\n{ return f(e); }\n",
        &["1 A: #define A 1", "2 b: struct b", "3 d: static char *d(int e)"],
        &["f"],
    );
    check_outline(
        "a.cpp",
        "class A : public B { void c() const { d(); } };\nint A::e(int) { return 0; }\n",
        &["1 A: class A : public B", "1 c: void c() const", "2 e: int A::e(int)"],
        &["d", "B"],
    );
    check_outline(
        "A.java",
        "class A extends B { int c(int d) throws E { return f(d); } }\n",
        &["1 A: class A extends B", "1 c: int c(int d) throws E"],
        &["f", "B"],
    );
}

#[test]
fn scripts() {
    check_outline(
        "a.py",
        "A = 1\nclass B(C):\n    @d\n    async def e(self, f: int = 1) -> str:\n        return g(f)\n",
        &["1 A: A = 1", "2 B: class B(C)", "4 e: async def e(self, f: int = 1) -> str"],
        &["C", "g"],
    );
    check_outline(
        "a.ts",
        "export interface A { b(): void }\nexport const c = async (d: A): Promise<void> => { e(d) }\n\
         class F extends G { private h<T>(i: T) { return i } }\n",
        &[
            "1 A: interface A",
            "1 b: b(): void",
            "2 c: c = async (d: A): Promise<void>",
            "3 F: class F extends G",
            "3 h: private h<T>(i: T)",
        ],
        &["A", "e", "G"],
    );
    check_outline(
        "a.jsx",
        "function A(b) { return <C d={b} /> }\n",
        &["1 A: function A(b)"],
        &["C"],
    );
    check_outline("a.sh", "a() { b; }\n", &["1 a: a()"], &["b"]);
}

#[test]
fn an_outline_is_bounded() {
    let many: String = (0..10_000).map(|n| format!("fn f{n}() {{ g{n}() }}\n")).collect();
    let outline = outline(Path::new("a.rs"), &many).unwrap();
    assert_eq!((outline.symbols.len(), outline.references.len()), (SYMBOLS_MAX, NAMES_MAX));
    let long = format!("fn {}() {{}}\nfn a({}) {{}}\n", "x".repeat(200), "b: u8, ".repeat(500));
    let found = symbols(Path::new("a.rs"), &long);
    assert_eq!(found.len(), 1);
    assert!(found[0].signature.chars().count() <= SIGNATURE_CHARS_MAX + 1);
    assert!(references(Path::new("a.rs"), "fn broken( {{{ a b").contains_key("a"));
}
