//! Which tokens are trained: exactly those that the model wrote, with the one at which it stopped.
//!
//! A reply begins where the prompt that asked for it ends: the conversation before it is rendered
//! alone, as it was for the request, and has to be the beginning of the whole, or training would be
//! on another prompt. It ends with the first token at which the model stops; some templates leave
//! that token to whoever speaks next. Where a template marks by itself what is generated
//! (`{% generation %}`), that is the second opinion, and the two have to agree.
//!
//! A reply that is trained in part is told apart by rendering it without its later parts: the
//! tokens up to where the two part ways are those of the earlier ones.
//!
//! Where the tokens that the model sampled are known, they stand in the place of those that the text
//! would be cut into, as long as they spell what the template writes ([`sampled`]).
//!
//! Nothing is guessed. What cannot be trained as it was written is left out and said ([`Unfit`]);
//! what contradicts itself is an error with its place.

mod common;
mod sampled;

use std::ops::Range;

use serde_json::Value;

use crate::dialect::Dialect;
use crate::error::{ChatError, near};
use crate::template::{Conversation, Rendered};
use crate::tokenizer::Tokens;
use common::{common, same, strings};
use sampled::Swap;

#[cfg(test)]
mod tests;

/// What of a message is trained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: somebody else wrote it, or it was trained before.
    #[default]
    Nothing,
    /// All that the model wrote, and that it stopped.
    Everything,
    /// Some of its parts. What ends a reply belongs to its last part.
    Parts {
        /// The reasoning.
        reasoning: bool,
        /// The text.
        content: bool,
        /// Each call.
        calls: Vec<bool>,
    },
}

/// Why a reply is not trained although it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It spells a special token, which would be read as control and not as the text that it was.
    SpecialToken(String),
    /// The template writes it otherwise than the model did.
    Changed,
    /// Its parts cannot be told apart.
    PartsTogether,
}

/// Where the tokens of a reply come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Its text was cut into tokens: which ones the model sampled is not known.
    #[default]
    Text,
    /// They are the ones that the model sampled.
    Sampled,
    /// Its text was cut into tokens, since those that the model sampled spell another text than the
    /// template writes.
    OtherText,
}

/// A reply that is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message, from 0.
    pub message: usize,
    /// Its text, in bytes of the whole: from the end of its prompt to the end of what it stopped with.
    pub bytes: Range<usize>,
    /// Its tokens, those that are not trained included.
    pub tokens: Range<usize>,
    /// The first token is not trained: it stands across the end of the prompt, or the prompt alone
    /// is split into other tokens.
    pub straddles: bool,
    /// Where its tokens come from.
    pub origin: Origin,
}

/// A conversation as tokens, each trained or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// The rendered text.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Which of them are trained.
    pub trained: Vec<bool>,
    /// The replies of which something is trained, in order.
    pub replies: Vec<Reply>,
    /// Messages that are not trained although they were wanted, and why.
    pub unfit: Vec<(usize, Unfit)>,
    /// How many messages that are not trained spell a special token: it is read as control here,
    /// and perhaps it was not where the model was served.
    pub spelled: usize,
    /// How many replies without a thought the template writes with an empty one, which is trained
    /// with them: whether the model wrote it, their record does not say.
    pub empty_thoughts: usize,
    /// The last token is not in the text: the model stopped there, and the template would have
    /// written it with the next message.
    pub stop_added: bool,
}

impl Dialect {
    /// A conversation as tokens, with what is trained of it. `wanted` is one for each message.
    ///
    /// # Errors
    /// When the template fails, drops something, writes what came before a reply otherwise than it
    /// was prompted, or contradicts itself about what is generated.
    pub fn mask(
        &self,
        messages: &[Value],
        tools: &[Value],
        wanted: &[Wanted],
        now_s: i64,
    ) -> Result<Masked, ChatError> {
        self.mask_sampled((messages, tools), wanted, &[], now_s)
    }

    /// The same with the tokens that the model sampled for each message, where they are known: the
    /// tokens of a reply are exactly these then, however its text would have been cut.
    ///
    /// # Errors
    /// As above.
    pub fn mask_sampled(
        &self,
        (messages, tools): (&[Value], &[Value]),
        wanted: &[Wanted],
        sampled: &[Option<&[u32]>],
        now_s: i64,
    ) -> Result<Masked, ChatError> {
        let conversation = self.conversation(messages, tools, now_s)?;
        let rendered = self.template().render_marked(&conversation)?;
        let tokens = self.tokenizer().encode(&rendered.text)?;
        let masked = Masked {
            trained: vec![false; tokens.ids.len()],
            ids: tokens.ids.clone(),
            ..Masked::default()
        };
        let mut masking = Masking {
            dialect: self,
            messages,
            sampled,
            conversation,
            rendered,
            tokens,
            masked,
            swaps: Vec::new(),
        };
        for (message, wanted) in wanted.iter().enumerate().take(messages.len()) {
            if *wanted != Wanted::Nothing {
                masking.reply(message, wanted)?;
            } else if masking.special_in(message).is_some() {
                masking.masked.spelled += 1;
            }
        }
        masking.put_in();
        masking.masked.text = masking.rendered.text;
        Ok(masking.masked)
    }
}

/// Where a reply lies.
struct Found {
    /// In the text: from the end of its prompt to the end of what it stopped with.
    bytes: Range<usize>,
    tokens: Range<usize>,
    /// Where the token begins at which it stopped.
    stop_at: usize,
}

struct Masking<'a> {
    dialect: &'a Dialect,
    messages: &'a [Value],
    sampled: &'a [Option<&'a [u32]>],
    conversation: Conversation,
    rendered: Rendered,
    tokens: Tokens,
    masked: Masked,
    swaps: Vec<Swap>,
}

impl Masking<'_> {
    fn reply(&mut self, message: usize, wanted: &Wanted) -> Result<(), ChatError> {
        if let Some(spelling) = self.special_in(message) {
            self.masked.unfit.push((message, Unfit::SpecialToken(spelling)));
            return Ok(());
        }
        let start = self.start(message)?;
        let found = self.find(message, start)?;
        if !self.is_whole(message, &self.rendered.text[start..found.stop_at]) {
            return self.changed(message, start);
        }
        self.compare(message, &found)?;
        let Some(stretches) = self.stretches(message, wanted, &found) else {
            self.masked.unfit.push((message, Unfit::PartsTogether));
            return Ok(());
        };
        let straddling = self.straddling(&found)?;
        let swap = self.swap(message, &found, &stretches, straddling.as_ref());
        let origin = match (&swap, self.sampled.get(message)) {
            (Some(_), _) => Origin::Sampled,
            (None, Some(Some(_))) => Origin::OtherText,
            _ => Origin::Text,
        };
        let straddles = straddling.is_some() && swap.is_none();
        let mut any = swap.as_ref().is_some_and(Swap::is_trained);
        let stretches = if swap.is_some() { Vec::new() } else { stretches };
        for stretch in stretches {
            // When the prompt would have been split otherwise, the token after it is not the one
            // that the model was asked for.
            let asked = found.tokens.start + usize::from(straddles);
            let from = stretch.start.max(asked);
            for place in from..stretch.end {
                self.masked.trained[place] = true;
                any = true;
            }
        }
        if any {
            // Of tokens that were sampled it is known whether there was one.
            let is_guess = swap.is_none() && self.has_empty_thought(message, &found);
            self.masked.empty_thoughts += usize::from(is_guess);
            self.swaps.extend(swap);
            self.masked.replies.push(Reply {
                message,
                bytes: found.bytes,
                tokens: found.tokens,
                straddles,
                origin,
            });
        }
        Ok(())
    }

    /// Where a reply begins: where its prompt ends, which has to be the beginning of the whole.
    fn start(&self, message: usize) -> Result<usize, ChatError> {
        let prompt = self.dialect.template().render(&self.conversation.first(message), true)?;
        let same = common(&prompt, &self.rendered.text);
        if same == prompt.len() {
            return Ok(same);
        }
        Err(ChatError::NotPrefixStable {
            message,
            what: "the prompt that asked for it is not how the whole begins",
            at: same,
            near: near(&self.rendered.text, same),
        })
    }

    /// Where a reply ends.
    fn find(&mut self, message: usize, start: usize) -> Result<Found, ChatError> {
        let first = self.tokens.places.partition_point(|place| place.start < start);
        // Where the template marks replies itself, one that would end later than its mark is found
        // out when the two are compared, and the text need not be rendered once more.
        let limit = if self.dialect.template().has_generation_tags() {
            self.rendered.text.len()
        } else {
            self.limit(message)?
        };
        let stop = (first..self.tokens.ids.len())
            .take_while(|place| self.tokens.places[*place].start <= limit)
            .find(|place| self.dialect.is_stop(self.tokens.ids[*place]));
        if let Some(stop) = stop {
            let place = self.tokens.places[stop].clone();
            return Ok(Found {
                bytes: start..place.end,
                tokens: first..stop + 1,
                stop_at: place.start,
            });
        }
        let text = &self.rendered.text;
        let added = self.dialect.stop_after(self.has_calls(message));
        let (true, Some(stop)) = (message + 1 == self.messages.len(), added) else {
            let near = near(text, limit);
            return Err(ChatError::NoTerminator { message, near });
        };
        self.masked.ids.push(stop);
        self.masked.trained.push(false);
        self.masked.stop_added = true;
        let end = text.len();
        Ok(Found { bytes: start..end, tokens: first..self.masked.ids.len(), stop_at: end })
    }

    fn has_calls(&self, message: usize) -> bool {
        self.messages[message]["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty())
    }

    fn has_empty_thought(&self, message: usize, found: &Found) -> bool {
        let message = &self.messages[message];
        let begins = |text: &str| text.trim_start().starts_with("<think>");
        message["reasoning_content"].as_str().is_none_or(str::is_empty)
            && begins(&self.rendered.text[found.bytes.clone()])
            && !message["content"].as_str().is_some_and(begins)
    }

    /// Up to where the text does not depend on what the next message says: no reply ends later.
    fn limit(&self, message: usize) -> Result<usize, ChatError> {
        let text = &self.rendered.text;
        let Some(next) = self.messages.get(message + 1) else { return Ok(text.len()) };
        let mut other = next.clone();
        let said = next["content"].as_str().unwrap_or_default();
        let different = if said.trim_start().starts_with('a') { "b" } else { "a" };
        other["content"] = different.into();
        let other = self.dialect.shaped(&other);
        let conversation = self.conversation.first(message + 2).replacing(message + 1, &other);
        Ok(common(&self.dialect.template().render(&conversation, false)?, text))
    }

    /// Whether all that the model wrote is in this text, in its order.
    fn is_whole(&self, message: usize, text: &str) -> bool {
        let message = &self.messages[message];
        let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
        let names = calls.iter().map(|call| &call["function"]["name"]);
        let mut rest = text;
        [&message["reasoning_content"], &message["content"]]
            .into_iter()
            .chain(names)
            .filter_map(Value::as_str)
            .all(|part| match rest.split_once(part.trim()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }

    /// A reply that is not in the text as it was written: the template's doing, or that of what
    /// comes later?
    fn changed(&mut self, message: usize, start: usize) -> Result<(), ChatError> {
        let conversation = self.conversation.first(message + 1);
        let alone = self.dialect.template().render(&conversation, false)?;
        if alone.get(start..).is_some_and(|reply| self.is_whole(message, reply)) {
            let at = common(&alone, &self.rendered.text);
            let near = near(&self.rendered.text, at);
            let what = "a part of it is left out";
            return Err(ChatError::NotPrefixStable { message, what, at, near });
        }
        self.masked.unfit.push((message, Unfit::Changed));
        Ok(())
    }

    /// A special token that the reply spells.
    fn special_in(&self, message: usize) -> Option<String> {
        let message = &self.messages[message];
        let mut texts = vec![&message["reasoning_content"], &message["content"]];
        let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
        for call in calls {
            texts.push(&call["function"]["name"]);
            strings(&call["function"]["arguments"], &mut texts);
        }
        let mut texts = texts.into_iter().filter_map(Value::as_str);
        texts.find_map(|text| self.dialect.tokenizer().special_in(text)).map(str::to_owned)
    }

    /// Compares with what the template marks, where it does. Templates are careless about space:
    /// a line end of the prompt before a reply, or one that follows its end, may be marked too.
    fn compare(&self, message: usize, found: &Found) -> Result<(), ChatError> {
        if !self.dialect.template().has_generation_tags() {
            return Ok(());
        }
        let (text, prompted) = (&self.rendered.text, found.bytes.clone());
        let touches = |it: &&Range<usize>| it.start < prompted.end && prompted.start < it.end;
        let mut marked = self.rendered.generated.iter().filter(touches);
        let (first, more) = (marked.next().cloned(), marked.next());
        let blank = |one: usize, other: usize| {
            text.get(one.min(other)..one.max(other)).is_some_and(|it| it.trim().is_empty())
        };
        // A stop that the next message writes is nothing that a template could mark.
        let ends = |end: usize| {
            blank(end, prompted.end) || (!self.dialect.writes_stops() && blank(end, found.stop_at))
        };
        let begins = first.as_ref().is_some_and(|it| blank(it.start, prompted.start));
        if begins && more.is_none() && first.as_ref().is_some_and(|it| ends(it.end)) {
            return Ok(());
        }
        let at = match &first {
            Some(first) if !begins => first.start.min(prompted.start),
            Some(first) => first.end.min(prompted.end),
            None => prompted.start,
        };
        let near = near(text, at);
        Err(ChatError::MasksDiffer { message, marked: first, prompted, near })
    }

    /// The tokens of the prompt alone, from a place on, where it is split into other tokens than it
    /// is here.
    fn straddling(&self, found: &Found) -> Result<Option<(usize, Vec<u32>)>, ChatError> {
        let first = found.tokens.start;
        let control = |place: &usize| self.dialect.tokenizer().is_special(self.tokens.ids[*place]);
        // Special tokens split a text before anything else does: nothing reaches across one.
        let from = (0..first.min(self.tokens.ids.len())).rev().find(control).unwrap_or(0);
        let begin = self.tokens.places.get(from).map_or(0, |place| place.start);
        let prompt = &self.rendered.text[begin.min(found.bytes.start)..found.bytes.start];
        let alone = self.dialect.tokenizer().encode(prompt)?.ids;
        Ok((alone != self.masked.ids[from..first]).then_some((from, alone)))
    }

    /// The tokens of a reply that are trained; `None` when its parts cannot be told apart.
    fn stretches(
        &self,
        message: usize,
        wanted: &Wanted,
        found: &Found,
    ) -> Option<Vec<Range<usize>>> {
        let Wanted::Parts { reasoning, content, calls } = wanted else {
            return Some(vec![found.tokens.clone()]);
        };
        let is_there =
            |part: &str| self.messages[message][part].as_str().is_some_and(|it| !it.is_empty());
        let mut parts = Vec::new();
        if is_there("reasoning_content") {
            parts.push((*reasoning, self.without_later(message, false, 0)));
        }
        if is_there("content") {
            parts.push((*content, self.without_later(message, true, 0)));
        }
        for (place, call) in calls.iter().enumerate() {
            parts.push((*call, self.without_later(message, true, place + 1)));
        }
        let last = parts.len().checked_sub(1)?;
        let (mut stretches, mut from) = (Vec::new(), found.tokens.start);
        for (place, (is_wanted, shorter)) in parts.into_iter().enumerate() {
            let to = if place == last {
                found.tokens.end
            } else {
                // Token by token: the signs with which a call and an end of a reply begin are alike.
                let text = self.dialect.template().render(&shorter, false).ok()?;
                let reply = text.get(found.bytes.start..)?;
                let reply = &reply[..reply.floor_char_boundary(found.bytes.len())];
                let ids = self.dialect.tokenizer().encode(reply).ok()?.ids;
                let whole = &self.masked.ids[found.tokens.clone()];
                from.max(found.tokens.start + same(&ids, whole))
            };
            if to <= from {
                return None;
            }
            if is_wanted {
                stretches.push(from..to);
            }
            from = to;
        }
        Some(stretches)
    }

    /// The conversation with a reply that ends earlier.
    fn without_later(&self, message: usize, content: bool, calls: usize) -> Conversation {
        let mut shorter = self.messages[message].clone();
        if let Some(fields) = shorter.as_object_mut() {
            if !content && fields.contains_key("content") {
                fields.insert("content".to_owned(), "".into());
            }
            if calls == 0 {
                fields.shift_remove("tool_calls");
            } else if let Some(kept) = fields.get_mut("tool_calls").and_then(Value::as_array_mut) {
                kept.truncate(calls);
            }
        }
        self.conversation.replacing(message, &self.dialect.shaped(&shorter))
    }
}
