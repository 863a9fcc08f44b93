//! Documents, made by hand.

use super::*;

/// A document with a page for each text.
pub(crate) fn document(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Count {} /Kids [{}] >>",
            pages.len(),
            (0..pages.len()).map(|page| format!("{} 0 R ", 4 + page * 2)).collect::<String>()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for (index, text) in pages.iter().enumerate() {
        let content = format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            5 + index * 2
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let mut file = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let table = file.len();
    let size = objects.len() + 1;
    file.push_str(&format!("xref\n0 {size}\n0000000000 65535 f \n"));
    for place in places {
        file.push_str(&format!("{place:010} 00000 n \n"));
    }
    file.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    file.into_bytes()
}

#[test]
fn a_cancelled_reading_ends() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let pages = vec!["page"; 500];
    assert_eq!(text(document(&pages), &cancel), Err(Problem::Cancelled));
}

#[test]
fn a_document_that_nests_without_end_is_refused() {
    let deep =
        format!("%PDF-1.4\n1 0 obj\n{}\nendobj\ntrailer << /Root 1 0 R >>", "[".repeat(1 << 20));
    assert_eq!(text(deep.into_bytes(), &CancellationToken::new()), Err(Problem::Damaged));
    let kids =
        String::from_utf8(document(&["x"])).unwrap().replace("/Kids [4 0 R ]", "/Kids [2 0 R ]");
    assert!(text(kids.into_bytes(), &CancellationToken::new()).is_err());
}

/// A document beside whose pages lie so many objects of this many numbers each, packed.
fn stuffed(objects: usize, numbers: usize) -> Vec<u8> {
    let mut document = Document::load_mem(&document(&["a page"])).unwrap();
    for _ in 0..objects {
        document.add_object(vec![Object::Integer(7); numbers]);
    }
    let options = lopdf::SaveOptions::builder()
        .use_object_streams(true)
        .use_xref_streams(true)
        .max_objects_per_stream(10)
        .compression_level(9)
        .build();
    let mut file = Vec::new();
    document.save_with_options(&mut file, options).unwrap();
    file
}

#[test]
fn packed_documents_are_read_unless_they_unpack_without_bounds() {
    let read = |file: Vec<u8>| text_within(1 << 20, file, &CancellationToken::new());
    assert!(read(stuffed(20, 20)).unwrap().contains("a page"));
    let many = stuffed(20, (1 << 20) / size_of::<Object>() / 10);
    assert!(many.len() < 100 << 10, "{} bytes", many.len());
    assert_eq!(read(many), Err(Problem::TooLarge));
}
