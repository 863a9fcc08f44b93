//! The formats of our files. A list here is only ever appended to: a released step never changes.

/// `limn` in ASCII: how a session file is told from any other SQLite file.
pub(crate) const SESSION_APPLICATION_ID: i32 = 0x6c69_6d6e;

/// `liml` in ASCII: `limn.db`.
pub(crate) const LIBRARY_APPLICATION_ID: i32 = 0x6c69_6d6c;

/// From an empty file to the newest session file; `user_version` counts the steps taken.
pub(crate) const SESSION: &[&str] = &[SESSION_1, SESSION_2, SESSION_3, SESSION_4];

/// From an empty file to the newest `limn.db`.
pub(crate) const LIBRARY: &[&str] = &[LIBRARY_1, LIBRARY_2, LIBRARY_3];

/// What was sent is in the form of its provider, and so is `messages_digest`. This one is over the
/// messages as the fold over the events gives them.
const SESSION_2: &str = "ALTER TABLE llm_call ADD COLUMN context_digest TEXT;";

/// What the user types into a terminal is told from what the model types. A check cannot be changed
/// in place.
const SESSION_3: &str = "
CREATE TABLE output_part_3 (
    exec INTEGER NOT NULL,
    direction INTEGER NOT NULL CHECK (direction IN (0, 1, 2)),
    idx INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    raw_len INTEGER NOT NULL CHECK (raw_len >= 0),
    codec INTEGER NOT NULL,
    data BLOB,
    marks BLOB NOT NULL,
    PRIMARY KEY (exec, direction, idx)
) STRICT;
INSERT INTO output_part_3 SELECT * FROM output_part;
DROP TABLE output_part;
ALTER TABLE output_part_3 RENAME TO output_part;
";

/// Which repository a workspace is of: a split of a dataset keeps it together. And what size the
/// terminal of a command was given while it ran, as JSON: microseconds since its start, columns,
/// rows.
const SESSION_4: &str = "
ALTER TABLE environment ADD COLUMN repository TEXT;
ALTER TABLE tool_exec ADD COLUMN sizes TEXT;
";

const SESSION_1: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
    hash BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
    codec INTEGER NOT NULL,
    raw_len INTEGER NOT NULL CHECK (raw_len >= 0),
    data BLOB
) STRICT;

CREATE TABLE query (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    group_key TEXT,
    text TEXT NOT NULL,
    subtasks TEXT NOT NULL,
    criteria TEXT NOT NULL,
    workspace TEXT,
    source TEXT,
    licence TEXT,
    verifier TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE environment (
    hash BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
    os TEXT NOT NULL,
    arch TEXT NOT NULL,
    shell TEXT,
    cwd TEXT NOT NULL,
    toolchains TEXT NOT NULL,
    git_commit TEXT,
    dirty_diff BLOB,
    tree_hash TEXT,
    env_allowlist TEXT NOT NULL,
    locale TEXT,
    tz TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    query_id BLOB,
    environment BLOB NOT NULL,
    app_version TEXT NOT NULL,
    config TEXT NOT NULL,
    annotator TEXT,
    private INTEGER NOT NULL CHECK (private IN (0, 1)),
    parent_session BLOB,
    fork_event BLOB,
    started_ns INTEGER NOT NULL,
    origin_device BLOB NOT NULL CHECK (length(origin_device) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    idx INTEGER PRIMARY KEY NOT NULL,
    id BLOB UNIQUE NOT NULL CHECK (length(id) = 16),
    app_version TEXT NOT NULL,
    started_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY NOT NULL CHECK (seq >= 0),
    id BLOB UNIQUE NOT NULL CHECK (length(id) = 16),
    parent_id BLOB,
    run_id BLOB NOT NULL CHECK (length(run_id) = 16),
    round INTEGER NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    wall_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    body TEXT,
    nonce BLOB,
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    copied INTEGER NOT NULL CHECK (copied IN (0, 1)),
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE llm_call (
    request INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    retry_of INTEGER,
    provider TEXT NOT NULL,
    endpoint TEXT,
    model_requested TEXT NOT NULL,
    api TEXT NOT NULL,
    params TEXT NOT NULL,
    head_seq INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    body_head BLOB NOT NULL,
    body_tail BLOB NOT NULL,
    messages_digest TEXT NOT NULL,
    tools_digest TEXT NOT NULL,
    t_start_ns INTEGER NOT NULL,
    t_first_ns INTEGER,
    t_end_ns INTEGER,
    http_status INTEGER,
    response BLOB,
    response_id TEXT,
    model_served TEXT,
    finish_reason TEXT,
    error TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    usage_source TEXT,
    cost REAL,
    PRIMARY KEY (request, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE llm_call_message (
    request INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    message BLOB NOT NULL CHECK (length(message) = 32),
    PRIMARY KEY (request, attempt, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE tool_exec (
    exec INTEGER PRIMARY KEY NOT NULL,
    call INTEGER,
    tool TEXT NOT NULL,
    argv TEXT NOT NULL,
    cwd TEXT,
    env_delta TEXT,
    policy TEXT,
    approval TEXT,
    approver TEXT,
    t_start_ns INTEGER NOT NULL,
    t_end_ns INTEGER,
    lost INTEGER NOT NULL DEFAULT 0 CHECK (lost IN (0, 1)),
    exit_code INTEGER,
    signal INTEGER,
    timed_out INTEGER,
    output_hash BLOB,
    output_bytes INTEGER,
    lines_omitted INTEGER,
    chars_omitted INTEGER,
    tree_before TEXT,
    tree_after TEXT
) STRICT;

CREATE TABLE output_part (
    exec INTEGER NOT NULL,
    direction INTEGER NOT NULL CHECK (direction IN (0, 1)),
    idx INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    raw_len INTEGER NOT NULL CHECK (raw_len >= 0),
    codec INTEGER NOT NULL,
    data BLOB,
    marks BLOB NOT NULL,
    PRIMARY KEY (exec, direction, idx)
) STRICT;

CREATE TABLE draft (
    id INTEGER PRIMARY KEY NOT NULL,
    request INTEGER NOT NULL,
    kind TEXT NOT NULL,
    field TEXT,
    call_index INTEGER,
    name TEXT,
    text TEXT NOT NULL
) STRICT;
";

/// The index of words stands on shelves, each of them a table that is made when it is needed. What was
/// indexed so far is indexed anew.
const LIBRARY_3: &str = "
DROP TABLE passage;
DELETE FROM passage_of;
DELETE FROM facet;
DROP TABLE indexed;

CREATE TABLE shelf (
    id INTEGER PRIMARY KEY NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE indexed (
    session BLOB PRIMARY KEY NOT NULL CHECK (length(session) = 16),
    events INTEGER NOT NULL,
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32),
    shelf INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX indexed_shelf ON indexed (shelf);
";

/// The index of words. It holds no text: that is in the session files, and whoever deletes from the
/// index hands it over once more.
const LIBRARY_2: &str = "
CREATE VIRTUAL TABLE passage USING fts5 (
    text, content = '', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO passage (passage, rank) VALUES ('secure-delete', 1);

CREATE TABLE passage_of (
    id INTEGER PRIMARY KEY NOT NULL,
    session BLOB NOT NULL CHECK (length(session) = 16),
    seq INTEGER NOT NULL,
    part TEXT NOT NULL
) STRICT;
CREATE INDEX passage_of_session ON passage_of (session, seq);

CREATE TABLE facet (
    session BLOB NOT NULL CHECK (length(session) = 16),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (session, name, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE indexed (
    session BLOB PRIMARY KEY NOT NULL CHECK (length(session) = 16),
    events INTEGER NOT NULL,
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32)
) STRICT, WITHOUT ROWID;
";

const LIBRARY_1: &str = "
CREATE TABLE annotation (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    session BLOB NOT NULL CHECK (length(session) = 16),
    target TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    source TEXT NOT NULL,
    annotator TEXT,
    at_ns INTEGER NOT NULL,
    supersedes BLOB
) STRICT;
CREATE INDEX annotation_session ON annotation (session, field);

CREATE TABLE catalogue (
    session BLOB PRIMARY KEY NOT NULL CHECK (length(session) = 16),
    file_len INTEGER NOT NULL,
    file_mtime_ns INTEGER NOT NULL,
    wal_len INTEGER NOT NULL,
    wal_mtime_ns INTEGER NOT NULL,
    error TEXT,
    title TEXT,
    model TEXT,
    started_ns INTEGER NOT NULL,
    last_ns INTEGER,
    ended TEXT,
    rounds INTEGER NOT NULL,
    events INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    private INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

#[cfg(test)]
mod tests;
