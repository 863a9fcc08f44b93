//! Images and files that are handed to the model whole.
//!
//! An event names them by their hash; their bytes lie in the recording beside it. What a model is
//! sent is made from those bytes again, so a resumed session sends what it sent before.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use record::{Archive, Blob, RecordError};
use trajectory::event::Attachment;
use trajectory::{Body, Event};

/// Something handed in, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The name it had.
    pub name: String,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The attachments of a session, as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// Hash → `data:` URL.
    urls: HashMap<String, String>,
}

impl Media {
    /// Those that the events of a recording name.
    pub(crate) fn load(&mut self, archive: &Archive, events: &[Event]) -> Result<(), RecordError> {
        for attachment in events.iter().flat_map(|event| named(&event.body)) {
            if !self.urls.contains_key(&attachment.blake3)
                && let Some(bytes) = archive.attachment(&attachment.blake3)?
            {
                self.keep(attachment, &bytes);
            }
        }
        Ok(())
    }

    /// Takes something in: what the event is to say of it, and what has to be stored with it.
    pub(crate) fn take(&mut self, attached: Attached) -> (Attachment, Blob) {
        let Attached { name, media_type, bytes } = attached;
        let blob = Blob::new(bytes);
        let attachment = Attachment { name, media_type, blake3: blob.blake3().to_owned() };
        self.keep(&attachment, blob.bytes());
        (attachment, blob)
    }

    /// The `data:` URL of an attachment; none when its bytes are gone.
    pub(crate) fn url(&self, attachment: &Attachment) -> Option<String> {
        self.urls.get(&attachment.blake3).cloned()
    }

    fn keep(&mut self, attachment: &Attachment, bytes: &[u8]) {
        let url = format!("data:{};base64,{}", attachment.media_type, STANDARD.encode(bytes));
        self.urls.insert(attachment.blake3.clone(), url);
    }
}

fn named(body: &Body) -> &[Attachment] {
    match body {
        Body::Prompt(prompt) => &prompt.attachments,
        Body::Observation(observation) => &observation.attachments,
        _ => &[],
    }
}
