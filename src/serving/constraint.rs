//! What a reply has to spell, token by token.
//!
//! A [`Grammar`] knows the tokens of a model as bytes, once for a server. From it a [`Constraint`]
//! is made for each request that needs one: a JSON schema, or calls in the model's own format
//! ([`calls`]). It says which tokens may come next, and is told which one came.
//!
//! Tokens that end a reply are no part of any grammar: where a grammar may end, the stops of the job
//! are allowed, and nowhere else. Control tokens never are; tags of calls and thoughts count as text
//! even where a tokenizer has a token for them, since some models spell them out.
//!
//! Schemas come from clients, so their size and depth are bounded before they are looked at, and the
//! library's own limits bound what becomes of them.

mod calls;
mod kept;
mod tokens;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chat::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{SimpleVob, TokEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use thiserror::Error;

pub(crate) use calls::{Calls, NAME_BYTES_MAX, ToolChoice, is_name};
use kept::Kept;
use tokens::Tokens;

#[cfg(test)]
mod tests;

/// Bytes of a schema, and how deep it nests: more than any tool that a person wrote needs.
pub(crate) const SCHEMA_BYTES_MAX: usize = 256 << 10;
const SCHEMA_DEPTH_MAX: usize = 64;

/// What the library may spend. A thousand units of fuel are about 20 µs, a state of the lexer is a
/// kilobyte or two.
const INITIAL_FUEL: u64 = 2_000_000;
const LEXER_STATES_MAX: usize = 50_000;

/// The characters of a library's message that are worth a reader's time.
const REASON_CHARS_MAX: usize = 300;

/// Why there is no constraint.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum ConstraintError {
    /// It is not known which bytes the tokens stand for.
    #[error(
        "What a reply spells cannot be enforced with this tokenizer: {0}. Ask without tool_choice and response_format."
    )]
    Tokenizer(String),
    /// A schema is no schema, or says what cannot be enforced.
    #[error("{at} cannot be enforced: {reason}. Change the schema there.")]
    Schema {
        /// Which schema.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A schema is too large.
    #[error("{at} has {bytes} bytes, and at most {most} are taken. Send a smaller schema.")]
    TooLarge {
        /// Which schema.
        at: String,
        /// Its bytes, as JSON.
        bytes: usize,
        /// How many are taken.
        most: usize,
    },
    /// A schema nests too deep.
    #[error("{at} nests deeper than {most}. Send a flatter schema.")]
    TooDeep {
        /// Which schema.
        at: String,
        /// How deep it may.
        most: usize,
    },
    /// A call is wanted of a tool that is not there.
    #[error("tool_choice names {0:?}, which is none of the tools. Name one of them.")]
    UnknownTool(String),
    /// A call is wanted, and there is no tool.
    #[error("tool_choice wants a call, and there are no tools. Send tools, or leave it out.")]
    NoTools,
}

/// The tokens of a model, as grammars need them. Making one takes a moment: once for a server.
pub(crate) struct Grammar {
    factory: ParserFactory,
    /// Stands for the end of a reply: a token that there is not.
    end: u32,
    /// Whether the tokenizer has a token at which thoughts begin.
    thinks: bool,
    /// By the text of the grammar. Nothing is said by one that is kept, but by its copies.
    kept: Kept<Result<Arc<Matcher>, String>>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Grammar {
    /// Reads the tokens of a model.
    ///
    /// # Errors
    /// When it is not known which bytes they stand for.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self, ConstraintError> {
        let fault = |reason: String| ConstraintError::Tokenizer(brief(&reason));
        let made = catch_unwind(AssertUnwindSafe(|| {
            let tokens = Tokens::new(tokenizer.clone())?;
            let end = tokens.end();
            let env: TokEnv = Arc::new(tokens);
            let factory = ParserFactory::new_simple(&env).map_err(|error| error.to_string())?;
            Ok((factory, end))
        }));
        let made = made.unwrap_or_else(|_| Err("its tokens do not make a tree".to_owned()));
        let (mut factory, end) = made.map_err(fault)?;
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = INITIAL_FUEL;
        limits.max_lexer_states = LEXER_STATES_MAX;
        limits.verbose_errors = false;
        factory.quiet();
        Ok(Self { factory, end, thinks: tokenizer.id("<think>").is_some(), kept: Kept::default() })
    }

    /// A reply that is JSON of this schema, after the thoughts where the model has any; `thinking`
    /// when the prompt has opened them. It may take some milliseconds.
    ///
    /// # Errors
    /// When the schema is too large, or is not one that can be enforced.
    pub(crate) fn json_schema(
        &self,
        schema: &Value,
        thinking: bool,
    ) -> Result<Constraint, ConstraintError> {
        const AT: &str = "The schema of response_format";
        check(AT, schema)?;
        let schema = with_options(schema, &json!({"whitespace_pattern": "[ \\n\\r\\t]{1,40}"}));
        let mut lark = String::from("start: ");
        calls::push_thoughts(&mut lark, thinking, self.thinks);
        lark.push_str(&format!("answer\nanswer: %json {schema}\n"));
        self.made(lark).map_err(|reason| ConstraintError::Schema { at: AT.to_owned(), reason })
    }

    /// Replies with calls of these tools, as many and as free as was chosen. It may take some
    /// milliseconds for each tool.
    ///
    /// # Errors
    /// When a tool's schema is too large or cannot be enforced, or there is none to be called.
    pub(crate) fn calls(&self, calls: &Calls<'_>) -> Result<Constraint, ConstraintError> {
        let tools = calls.wanted()?;
        for tool in &tools {
            check(&tool.at(), &tool.parameters)?;
        }
        let of = |tools: &[calls::Tool]| calls.lark(tools, self.thinks);
        let mut reason = match self.made(of(&tools)?) {
            Ok(constraint) => return Ok(constraint),
            Err(reason) => reason,
        };
        // The library does not say which one it was. Where no call is demanded nobody is told.
        let mut wrong = tools.as_slice();
        while wrong.len() > 1 && !calls.is_free() {
            let (first, second) = wrong.split_at(wrong.len() / 2);
            let mut fault = None;
            for half in [first, second] {
                if fault.is_none() {
                    fault = self.compiled(of(half)?).err().map(|reason| (half, reason));
                }
            }
            // It may be that they fail together only.
            let Some((half, why)) = fault else { break };
            (wrong, reason) = (half, why);
        }
        let at = match wrong {
            [tool] => tool.at(),
            _ => "What tools holds".to_owned(),
        };
        Err(ConstraintError::Schema { at, reason })
    }

    fn made(&self, lark: String) -> Result<Constraint, String> {
        let matcher = self.kept.get(&lark, || self.compiled(lark.clone()).map(Arc::new))?;
        Ok(Constraint { matcher: Box::new(matcher.deep_clone()), end: self.end })
    }

    fn compiled(&self, lark: String) -> Result<Matcher, String> {
        let parser = catch_unwind(AssertUnwindSafe(|| {
            self.factory.create_parser(TopLevelGrammar::from_lark(lark))
        }));
        let parser = parser.map_err(|_| "the library failed at it".to_owned())?;
        let parser = parser.map_err(|error| brief(&error.to_string()))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(reason) => Err(brief(&reason)),
            None => Ok(matcher),
        }
    }
}

/// What the tokens of one reply have to spell.
pub(crate) struct Constraint {
    matcher: Box<Matcher>,
    end: u32,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraint").finish_non_exhaustive()
    }
}

impl Constraint {
    /// What may come next.
    ///
    /// # Errors
    /// When the library's limits are reached; nothing more comes of it then.
    pub(crate) fn allowed(&mut self) -> Result<Allowed, String> {
        let tokens =
            self.matcher.compute_mask_or_eos().map_err(|error| brief(&error.to_string()))?;
        Ok(Allowed { tokens, end: self.end })
    }

    /// Goes on to what follows a token that was allowed.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn take(&mut self, token: u32) -> Result<(), String> {
        self.matcher.consume_token(token).map_err(|error| brief(&error.to_string()))
    }

    /// The tokens that have to follow, where nothing else can.
    pub(crate) fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Whether nothing can follow what was taken.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }
}

/// What may come next.
#[derive(Debug)]
pub(crate) struct Allowed {
    tokens: SimpleVob,
    end: u32,
}

impl Allowed {
    /// Whether this token may.
    pub(crate) fn has(&self, token: u32) -> bool {
        token < self.end && self.tokens.is_allowed(token)
    }

    /// Whether the reply may end.
    pub(crate) fn may_end(&self) -> bool {
        self.tokens.is_allowed(self.end)
    }
}

/// A schema is bounded before anything looks into it.
fn check(at: &str, schema: &Value) -> Result<(), ConstraintError> {
    if !is_shallower(schema, SCHEMA_DEPTH_MAX) {
        return Err(ConstraintError::TooDeep { at: at.to_owned(), most: SCHEMA_DEPTH_MAX });
    }
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        let at = at.to_owned();
        return Err(ConstraintError::TooLarge { at, bytes, most: SCHEMA_BYTES_MAX });
    }
    if !schema.is_object() {
        let reason = "it is no object".to_owned();
        return Err(ConstraintError::Schema { at: at.to_owned(), reason });
    }
    Ok(())
}

fn is_shallower(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => false,
        Value::Array(values) => values.iter().all(|value| is_shallower(value, depth - 1)),
        Value::Object(values) => values.values().all(|value| is_shallower(value, depth - 1)),
        _ => true,
    }
}

/// A schema with the library's options, in the place of any that a client put there.
fn with_options(schema: &Value, options: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-guidance".to_owned(), options.clone());
    }
    schema
}

/// The first line of a message, without its last full stop.
fn brief(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim_end_matches('.');
    line.chars().take(REASON_CHARS_MAX).collect()
}
