//! The table of profiles. Each row says how it differs from the base, and why.

use trajectory::event::ThinkTags;

use super::{EffortForm, EmptyContent, MalformedBack, Profile, ReasoningBack};

/// A profile as it can stand in a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    think: ThinkTags,
    reasoning_back: ReasoningBack,
    call_signatures: bool,
    effort: EffortForm,
    stream_options: bool,
    token_ids: bool,
    limits_output: bool,
    output_max_key: &'static str,
    system_role: &'static str,
    images: bool,
    empty_content: EmptyContent,
    malformed_back: MalformedBack,
    custom_tools: bool,
}

impl Row {
    pub(super) fn profile(&self, name: &str) -> Profile {
        Profile {
            name: name.to_owned(),
            think: self.think,
            reasoning_back: self.reasoning_back,
            call_signatures: self.call_signatures,
            reasoning: true,
            effort: self.effort,
            stream_options: self.stream_options,
            token_ids: self.token_ids,
            limits_output: self.limits_output,
            output_max_key: self.output_max_key.to_owned(),
            system_role: self.system_role.to_owned(),
            images: self.images,
            empty_content: self.empty_content,
            malformed_back: self.malformed_back,
            custom_tools: self.custom_tools,
        }
    }
}

/// A server of which nothing is known, most often one that runs an open model: what it sent it
/// will know, so it gets that back; but templates read arguments as objects, and such a server
/// parses every call of the conversation again for each request.
pub(super) const BASE: Row = Row {
    think: ThinkTags::Tagged,
    reasoning_back: ReasoningBack::AsReceived,
    call_signatures: true,
    effort: EffortForm::Plain,
    stream_options: true,
    // Servers that do not know a member of a request may refuse it.
    token_ids: false,
    limits_output: false,
    output_max_key: "max_tokens",
    system_role: "system",
    images: true,
    empty_content: EmptyContent::Null,
    malformed_back: MalformedBack::Wrapped,
    custom_tools: false,
};

/// Members that are not in the API are refused, and `<think>` is a word like another.
const HOSTED: Row = Row {
    think: ThinkTags::Plain,
    reasoning_back: ReasoningBack::Never,
    call_signatures: false,
    ..BASE
};

pub(super) const PROFILES: &[(&str, Row)] = &[
    ("default", BASE),
    (
        "openai",
        // Reasoning models refuse `max_tokens`, and call the system prompt the developer's.
        Row {
            output_max_key: "max_completion_tokens",
            system_role: "developer",
            custom_tools: true,
            malformed_back: MalformedBack::AsSent,
            ..HOSTED
        },
    ),
    // Our own, which serves models of text alone, and says the ids of their tokens.
    ("limn", Row { effort: EffortForm::Template, images: false, token_ids: true, ..BASE }),
    ("vllm", Row { effort: EffortForm::Template, ..BASE }),
    ("sglang", Row { effort: EffortForm::Template, ..BASE }),
    // Some of its templates add strings without asking whether there is one.
    ("llamacpp", Row { effort: EffortForm::Template, empty_content: EmptyContent::Text, ..BASE }),
    ("ollama", Row { empty_content: EmptyContent::Text, ..BASE }),
    (
        "openrouter",
        Row { reasoning_back: ReasoningBack::Details, effort: EffortForm::Nested, ..BASE },
    ),
    (
        "deepseek",
        // The classic reasoner answers 400 to reasoning in its input and makes no calls; the later
        // models answer 400 when a reply with calls comes back without. Unless it is told how much
        // a reply may hold, its chat model stops at 4,096 tokens, in the middle of a file.
        Row {
            reasoning_back: ReasoningBack::WithCalls,
            call_signatures: false,
            effort: EffortForm::Switch,
            limits_output: true,
            images: false,
            ..BASE
        },
    ),
    ("glm", Row { effort: EffortForm::Switch, call_signatures: false, ..BASE }),
    (
        "gemini",
        // A call that comes back without its signature is refused by its newer models.
        Row { call_signatures: true, ..HOSTED },
    ),
    (
        "anthropic",
        Row { effort: EffortForm::Budget, empty_content: EmptyContent::Absent, ..HOSTED },
    ),
];

/// Hosts (with all below them) and ports, and whose they are.
pub(super) const HOSTS: &[(&str, &str)] = &[
    ("openai.com", "openai"),
    ("openai.azure.com", "openai"),
    ("openrouter.ai", "openrouter"),
    ("deepseek.com", "deepseek"),
    ("bigmodel.cn", "glm"),
    ("z.ai", "glm"),
    ("googleapis.com", "gemini"),
    ("anthropic.com", "anthropic"),
    ("ollama.com", "ollama"),
    (":11434", "ollama"),
];
