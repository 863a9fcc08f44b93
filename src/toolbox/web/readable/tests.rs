//! From a page to its text.

use proptest::prelude::*;

use super::*;

fn text(html: &str) -> String {
    readable(html, &Url::parse("https://example.com/dir/page").unwrap()).text
}

#[track_caller]
fn check(html: &str, expected: &str) {
    assert_eq!(text(html), expected);
}

#[test]
fn headings_paragraphs_and_entities() {
    check(
        "<html><head><title>x</title><style>p{}</style></head><body><h1>One &amp; only</h1>\n<p>First\n  line.<p>Second<br>line<h2>Two</h2>end",
        "# One & only\n\nFirst line.\n\nSecond\nline\n\n## Two\n\nend",
    );
    let page = readable("<title> A \n title </title>x", &Url::parse("https://a.test/").unwrap());
    assert_eq!((page.title.as_str(), page.text.as_str()), ("A title", "x"));
}

#[test]
fn lists_keep_their_marks_and_depth() {
    check(
        "<p>Do:</p><ul><li>one</li><li>two <ol><li>first<li>second</ol></li><li>three</ul>after",
        "Do:\n\n- one\n- two\n  1. first\n  2. second\n- three\n\nafter",
    );
}

#[test]
fn links_are_absolute_and_kept_only_when_they_say_something() {
    check(
        "See <a href='../x?a=1&amp;b=2'>the  docs</a>, <a href='#top'>top</a>, <a href='javascript:x()'>run</a> and <a href='/img'></a>more.",
        "See [the docs](https://example.com/x?a=1&b=2), top, run and more.",
    );
}

#[test]
fn code_stays_as_it_is() {
    check(
        "<p>Use <code>a &lt; b</code>:</p><pre><code>fn a() {\n    <b>x</b>\n}\n</code></pre><p>Done.",
        "Use `a < b`:\n\n```\nfn a() {\n    x\n}\n```\n\nDone.",
    );
}

#[test]
fn tables_are_rows_of_cells() {
    check(
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1<td>2</tr></table>end",
        "a | b\n1 | 2\n\nend",
    );
}

#[test]
fn what_no_reader_sees_is_left_out() {
    check(
        "a<script>if (x < 1) { '<p>no' }</script><style>no</style><!-- no --><template>no</template><svg><text>no</text></svg>b<img src=x alt='a chart'><noscript>no</noscript>",
        "ab[image: a chart]",
    );
}

#[test]
fn what_the_page_hides_or_calls_a_menu_is_left_out() {
    let words = "words ".repeat(60);
    let html = format!(
        "<div role=navigation><div>menu</div></div><p hidden>no<input hidden>{words}\
         <span style='display: none'>no</span><div aria-hidden=true>no</div>\
         <a href='page#part'>part</a> <a href='page?x'>other</a>"
    );
    // An unclosed paragraph is hidden to its end, which never comes: then all is read.
    assert!(text(&html).starts_with("menu\n\nnowords"), "{}", text(&html));
    let html = html.replace("<p hidden>no<input hidden>", "<p hidden>no</p><input hidden>");
    let expected = format!("{} part [other](https://example.com/dir/page?x)", words.trim());
    assert_eq!(text(&html), expected);
}

#[test]
fn the_main_part_is_what_counts() {
    let words = "words ".repeat(60);
    let html = format!(
        "<nav>menu</nav><div>cookie</div><main><h1>T</h1><p>{words}</main><footer>foot</footer>"
    );
    assert_eq!(text(&html), format!("# T\n\n{}", words.trim()));
    check("<nav>menu</nav><main></main><p>short", "menushort".replace("menu", "menu\n\n").as_str());
}

#[test]
fn a_hostile_page_takes_neither_time_nor_memory() {
    let deep = "<div><ul><li><a href=x>".repeat(50_000);
    assert!(text(&deep).len() < 8 << 20);
    let long = Url::parse(&format!("https://example.com/{}", "d/".repeat(2_000))).unwrap();
    let links = "<a href=y>z</a>".repeat(100_000);
    assert!(readable(&links, &long).text.len() < 1 << 20);
    assert_eq!(text(&"</p></ul></main></a></pre>".repeat(10_000)), "");
    assert_eq!(text("<pre>open"), "```\nopen\n```");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tags_in_any_order_are_read(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "<p>", "</p>", "<a href=x>", "</a>", "<pre>", "</pre>", "<code>", "</code>", "<main>",
            "</main>", "<nav>", "</nav>", "<li>", "<ol>", "</ol>", "<td>", "<tr>", "<h1>", "</h1>",
            "<br>", "<title>", "</title>", "<script>", "</script>", "é x", " ", "\n", "<img alt=i>",
        ]), 0..40),
    ) {
        let page = text(&parts.concat());
        prop_assert_eq!(page.trim(), page.as_str());
    }
}
