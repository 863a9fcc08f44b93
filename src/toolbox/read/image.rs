//! Images: handed to a model that sees, described to one that does not.

use crate::answer::{Answer, Failure, size};
use crate::outcome::Attached;
use crate::path::Relative;

/// What servers take of one image, bytes.
const IMAGE_BYTES_MAX: usize = 5 << 20;

/// The media type of an image that models take.
pub(crate) fn kind(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The image, or why it is not handed over.
pub(super) fn answer(
    path: &Relative,
    media_type: &str,
    content: Vec<u8>,
    sees: bool,
) -> Result<Answer, Failure> {
    let format = media_type.trim_start_matches("image/").to_uppercase();
    let Ok(dimensions) = imagesize::blob_size(&content) else {
        let size = size(content.len() as u64);
        return Err(Failure::Error(format!("{path} is a damaged {format} image ({size}).")));
    };
    let (width, height) = (dimensions.width, dimensions.height);
    let size = size(content.len() as u64);
    let about = format!("{path}: {format} image, {width}×{height} pixels, {size}");
    if !sees {
        return Ok(Answer::from(format!("{about}. You cannot see images.")));
    }
    if content.len() > IMAGE_BYTES_MAX {
        let most = super::size(IMAGE_BYTES_MAX as u64);
        return Err(Failure::Error(format!(
            "{about}. That is more than {most}; make a smaller copy with shell."
        )));
    }
    let name = path.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = Attached { name, media_type: media_type.to_owned(), bytes: content };
    Ok(Answer { attachments: vec![image], ..Answer::from(about) })
}
