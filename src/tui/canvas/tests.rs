use std::cell::RefCell;
use std::num::NonZero;
use std::rc::Rc;

use proptest::prelude::*;
use ratatui::style::{Color, Style};

use super::*;

const SIZE: Size = Size { width: 12, height: 4 };

/// A frame: rows of text, each with a colour.
type Rows = Vec<(String, u8)>;

fn rows() -> impl Strategy<Value = Rows> {
    let row = ("[ab 漢字é🦀]{0,12}", 0..4_u8);
    prop::collection::vec(row, 0..4)
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that is told what a canvas writes.
struct Told {
    canvas: Canvas<Written>,
    written: Written,
    parser: vt100::Parser,
}

impl Told {
    fn new() -> Self {
        let written = Written::default();
        let size = |cells| NonZero::new(cells).unwrap();
        let parser = vt100::Parser::new(size(SIZE.height), size(SIZE.width), 0);
        let canvas = Canvas::new(Screen::given(written.clone()), SIZE);
        Self { canvas, written, parser }
    }

    /// Shows a frame; so many bytes were written for it.
    fn show(&mut self, rows: &Rows) -> usize {
        for (y, (text, colour)) in (0..).zip(rows) {
            let style = match colour {
                0 => Style::new(),
                1 => Style::new().fg(Color::Green),
                2 => Style::new().fg(Color::Red).bg(Color::Blue),
                _ => Style::new().reversed(),
            };
            self.canvas.next().set_stringn(0, y, text, usize::from(SIZE.width), style);
        }
        self.canvas.show(None).unwrap();
        self.canvas.turn();
        let bytes = self.written.0.take();
        self.parser.process(&bytes);
        bytes.len()
    }

    /// What is seen in each cell.
    fn cells(&self) -> Vec<(String, vt100::Color, vt100::Color, bool)> {
        let screen = self.parser.screen();
        let all = (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (y, x)));
        all.filter_map(|(y, x)| screen.cell(y, x))
            // The second half of a character looks like the first.
            .filter(|cell| !cell.is_wide_continuation())
            .map(|cell| match cell.contents() {
                "" | " " if !cell.inverse() => {
                    (String::new(), vt100::Color::Default, cell.bgcolor(), false)
                }
                text => (text.trim().to_owned(), cell.fgcolor(), cell.bgcolor(), cell.inverse()),
            })
            .collect()
    }
}

proptest! {
    #[test]
    fn a_frame_after_others_is_what_it_would_be_alone(frames in prop::collection::vec(rows(), 1..6)) {
        let mut told = Told::new();
        for frame in &frames {
            told.show(frame);
            let mut alone = Told::new();
            alone.show(frame);
            prop_assert_eq!(told.cells(), alone.cells());
        }
    }
}

#[test]
fn only_what_differs_is_written() {
    let row = |text: &str| (text.to_owned(), 1);
    let mut told = Told::new();
    let whole = told.show(&vec![row("one two"), row("漢字 three"), row("four")]);
    let same = told.show(&vec![row("one two"), row("漢字 three"), row("four")]);
    let one = told.show(&vec![row("one two"), row("漢字 throe"), row("four")]);
    assert!(same < one && one < same + 24 && one < whole, "{same} {one} {whole}");
    told.canvas.clear(SIZE).unwrap();
    assert!(told.show(&vec![row("one two"), row("漢字 throe"), row("four")]) >= whole);
    assert_eq!(told.parser.screen().rows(0, 12).nth(1).unwrap(), "漢字 throe");
    // In another size everything is written again.
    told.canvas.forget(Size { width: 8, height: 6 });
    assert_eq!((told.canvas.size().width, told.canvas.next().area.height), (8, 6));
    assert!(told.show(&vec![row("one two"), row("漢字 throe"), row("four")]) > same + 12);
}
