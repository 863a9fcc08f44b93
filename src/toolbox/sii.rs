//! The tools under the names and in the shapes of SII CLI, for models that were trained on them.
//!
//! Each is a thin coat: its arguments are turned into those of our own tool, and what that does is
//! the same under either name. Two exist only here: `read_many_files` and `save_memory`, which adds
//! a line to AGENTS.md, where every later session finds it. Absent: `agent_tool`.

mod many;
mod memory;
mod replace;

use sandbox::OutputChunk;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use trajectory::{ToolEffect, ToolSpec};

use crate::outcome::Outcome;
use crate::run::{Given, Toolbox};
use crate::{glob, grep, list, plan, read, schema, shell, web_fetch, web_search, write};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    ListDirectory,
    ReadFile,
    SearchFileContent,
    Glob,
    Replace,
    WriteFile,
    ReadManyFiles,
    RunShellCommand,
    SaveMemory,
    TodoWrite,
    WebFetch,
    WebSearch,
}

/// Lists one directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListDirectory {
    path: String,
}

/// Reads a file: text with line numbers, images, PDF, notebooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    absolute_path: String,
    /// Lines to skip.
    offset: Option<u64>,
    /// Number of lines; 2000 at most.
    limit: Option<u64>,
}

/// Searches file contents by regular expression, except in what .gitignore excludes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchFileContent {
    /// Regular expression, matched within a line.
    pattern: String,
    /// File or directory, the workspace if absent.
    path: Option<String>,
    /// Only files like `*.py`.
    include: Option<String>,
}

/// Creates a file, or replaces all of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    file_path: String,
    content: String,
}

/// Runs a bash command in a terminal and returns what it prints, with its exit code if not 0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunShellCommand {
    command: String,
    /// What it is for.
    #[serde(rename = "description")]
    _description: Option<String>,
    /// Directory to run in, relative to the workspace.
    directory: Option<String>,
}

/// Sets the checklist of a longer task. Keep one item in progress.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TodoWrite {
    /// All items, each time.
    todos: Vec<Todo>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Todo {
    #[serde(rename = "id")]
    _id: Option<String>,
    content: String,
    status: plan::Status,
}

impl From<ListDirectory> for list::Input {
    fn from(input: ListDirectory) -> Self {
        Self { path: Some(input.path) }
    }
}

impl From<ReadFile> for read::Input {
    fn from(input: ReadFile) -> Self {
        let ReadFile { absolute_path: file_path, offset, limit } = input;
        Self { file_path, offset: offset.map(|lines| lines.saturating_add(1)), limit }
    }
}

impl From<SearchFileContent> for grep::Input {
    fn from(input: SearchFileContent) -> Self {
        let SearchFileContent { pattern, path, include } = input;
        Self { pattern, path, include, context: None }
    }
}

impl From<WriteFile> for write::Input {
    fn from(input: WriteFile) -> Self {
        Self { file_path: input.file_path, content: input.content }
    }
}

impl From<RunShellCommand> for shell::Input {
    fn from(input: RunShellCommand) -> Self {
        Self {
            command: input.command,
            workdir: input.directory,
            timeout_ms: None,
            background: None,
        }
    }
}

impl From<TodoWrite> for plan::Input {
    fn from(input: TodoWrite) -> Self {
        let item = |todo: Todo| plan::Item { text: todo.content, status: todo.status };
        Self { items: input.todos.into_iter().map(item).collect() }
    }
}

impl Tool {
    /// In the order in which a model reads them.
    pub(crate) const ALL: [Self; 12] = [
        Self::ListDirectory,
        Self::ReadFile,
        Self::SearchFileContent,
        Self::Glob,
        Self::Replace,
        Self::WriteFile,
        Self::ReadManyFiles,
        Self::RunShellCommand,
        Self::SaveMemory,
        Self::TodoWrite,
        Self::WebFetch,
        Self::WebSearch,
    ];

    pub(crate) fn spec(self) -> ToolSpec {
        use ToolEffect::{Executes, Network, ReadOnly, Writes};
        match self {
            Self::ListDirectory => schema::spec::<ListDirectory>("list_directory", ReadOnly),
            Self::ReadFile => schema::spec::<ReadFile>("read_file", ReadOnly),
            Self::SearchFileContent => {
                schema::spec::<SearchFileContent>("search_file_content", ReadOnly)
            }
            Self::Glob => schema::spec::<glob::Input>("glob", ReadOnly),
            Self::Replace => schema::spec::<replace::Input>("replace", Writes),
            Self::WriteFile => schema::spec::<WriteFile>("write_file", Writes),
            Self::ReadManyFiles => schema::spec::<many::Input>("read_many_files", ReadOnly),
            Self::RunShellCommand => schema::spec::<RunShellCommand>("run_shell_command", Executes),
            Self::SaveMemory => schema::spec::<memory::Input>("save_memory", Writes),
            Self::TodoWrite => schema::spec::<TodoWrite>("todo_write", ReadOnly),
            Self::WebFetch => schema::spec::<web_fetch::Input>("web_fetch", Network),
            Self::WebSearch => schema::spec::<web_search::Input>("web_search", Network),
        }
    }
}

impl Toolbox {
    /// Runs a call of one of them.
    pub(crate) async fn sii(
        &self,
        tool: Tool,
        given: Given<'_>,
        out: mpsc::Sender<OutputChunk>,
    ) -> Outcome {
        match tool {
            Tool::ListDirectory => self.adapted::<ListDirectory, _, _>(given, list::run).await,
            Tool::ReadFile => self.adapted::<ReadFile, _, _>(given, self.reading()).await,
            Tool::SearchFileContent => {
                self.adapted::<SearchFileContent, _, _>(given, grep::run).await
            }
            Tool::Glob => self.file(given, glob::run).await,
            Tool::Replace => self.file(given, replace::run).await,
            Tool::WriteFile => self.adapted::<WriteFile, _, _>(given, write::run).await,
            Tool::ReadManyFiles => {
                let sees = self.sees();
                let read = move |workspace: &_, input: &_, cancel: &_| {
                    many::run(workspace, input, sees, cancel)
                };
                self.file(given, read).await
            }
            Tool::RunShellCommand => self.shell::<RunShellCommand>(given, out).await,
            Tool::SaveMemory => self.file(given, memory::run).await,
            Tool::TodoWrite => self.adapted::<TodoWrite, _, _>(given, plan::run).await,
            Tool::WebFetch => self.web_fetch(given).await,
            Tool::WebSearch => self.web_search(given).await,
        }
    }
}

#[cfg(test)]
mod tests;
