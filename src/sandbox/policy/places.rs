//! Tables: what of a home folder can be read, and what never can.
//!
//! A home is closed and only what is listed is opened, so the second table matters where the user
//! opens more, and where a credential lies inside a toolchain.

use std::path::{Path, PathBuf};

/// Toolchains and what programs need to start: readable in every home, where they exist.
pub(super) const TOOLCHAINS: &[&str] = &[
    ".asdf",
    ".bun",
    ".cabal",
    ".cargo",
    ".conda",
    ".config/git",
    ".deno",
    ".dotnet",
    ".elan",
    ".fnm",
    ".gem",
    ".ghcup",
    ".gitconfig",
    ".gradle",
    ".julia",
    ".juliaup",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/uv",
    ".m2",
    ".nix-profile",
    ".nodenv",
    ".npm-global",
    ".nuget",
    ".nvm",
    ".opam",
    ".proto",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".sdkman",
    ".stack",
    ".swiftly",
    ".volta",
    "anaconda3",
    "go",
    "miniconda3",
    "miniforge3",
];

/// Variables that say where a toolchain lies instead.
pub(super) const TOOLCHAIN_VARIABLES: &[&str] = &[
    "ANDROID_HOME",
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "BUN_INSTALL",
    "CARGO_HOME",
    "CONDA_PREFIX",
    "FNM_DIR",
    "GEM_HOME",
    "GOPATH",
    "GOROOT",
    "JAVA_HOME",
    "MISE_DATA_DIR",
    "NVM_DIR",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "RUSTUP_HOME",
    "SDKMAN_DIR",
    "VIRTUAL_ENV",
    "VOLTA_HOME",
];

/// Credentials, and what gives away what somebody did: hidden in every home.
pub(super) const CREDENTIALS: &[&str] = &[
    // Keys and tokens of programs.
    ".anthropic",
    ".aws",
    ".azure",
    ".boto",
    ".cache/huggingface/stored_tokens",
    ".cache/huggingface/token",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".claude",
    ".claude.json",
    ".codex",
    ".composer/auth.json",
    ".config/anthropic",
    ".config/composer/auth.json",
    ".config/containers/auth.json",
    ".config/doctl",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/github-copilot",
    ".config/glab-cli",
    ".config/hcloud",
    ".config/heroku",
    ".config/hub",
    ".config/NuGet",
    ".config/openai",
    ".config/pip",
    ".config/rclone",
    ".config/sops",
    ".config/age",
    ".config/wandb",
    ".databrickscfg",
    ".docker",
    ".fly",
    ".gem/credentials",
    ".gemini",
    ".git-credentials",
    ".gnupg",
    ".gradle/gradle.properties",
    ".huggingface",
    ".kaggle",
    ".kube",
    ".m2/settings-security.xml",
    ".m2/settings.xml",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".nuget/NuGet/NuGet.Config",
    ".openai",
    ".pgpass",
    ".pip",
    ".pypirc",
    ".s3cfg",
    ".ssh",
    ".terraform.d",
    ".terraformrc",
    ".vault-token",
    ".yarnrc.yml",
    "_netrc",
    // Keyrings and password stores.
    ".config/1Password",
    ".config/Bitwarden",
    ".config/keepassxc",
    ".config/op",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".password-store",
    "Library/Keychains",
    // Browsers and mail.
    ".config/BraveSoftware",
    ".config/chromium",
    ".config/google-chrome",
    ".config/microsoft-edge",
    ".config/opera",
    ".config/vivaldi",
    ".mozilla",
    ".thunderbird",
    "Library/Application Support/Firefox",
    "Library/Application Support/Google/Chrome",
    "snap/chromium",
    "snap/firefox",
    // The session of the desktop.
    ".ICEauthority",
    ".Xauthority",
    // Histories.
    ".bash_history",
    ".history",
    ".irb_history",
    ".lesshst",
    ".local/share/atuin",
    ".local/share/fish/fish_history",
    ".mysql_history",
    ".node_repl_history",
    ".psql_history",
    ".python_history",
    ".rediscli_history",
    ".sqlite_history",
    ".viminfo",
    ".zsh_history",
    ".zsh_sessions",
];

/// Secrets of the machine: only root can read them, and limn may be run as root.
pub(super) const SYSTEM_SECRETS: &[&str] = &[
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/krb5.keytab",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/ssh/ssh_host_dsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/var/lib/docker",
    "/var/lib/sss",
    "/var/spool/cron",
];

/// Folders of homes, closed whoever runs limn.
pub(super) const HOMES: &[&str] = &["/home", "/root", "/Users"];

/// What stays as it is inside a workspace: what limn and git act on.
pub(super) const FROZEN: &[&str] = &[".limn", ".git/config", ".git/hooks"];

/// These names in a home, as paths.
pub(super) fn beneath(home: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| home.join(name)).collect()
}

/// The path with the links of the part that exists resolved, so that two spellings of a place are
/// one.
pub(super) fn canonical(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            // Joining nothing would add a slash to the end.
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_path_buf()
}
