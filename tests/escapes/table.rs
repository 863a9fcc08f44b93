//! What is tried, and what is expected of it in each tier: the table of docs/escapes.md.

use Control::{AsRoot, Never, Sometimes, Works};

/// How an attempt fares without a sandbox, which shows that it is a real one.
#[derive(Clone, Copy, Debug)]
pub enum Control {
    /// It gets out.
    Works,
    /// It gets out when limn runs as root, and needs that.
    AsRoot,
    /// It gets out where the machine has what it needs.
    Sometimes(&'static str),
    /// It is not tried, and why.
    Never(&'static str),
}

/// What an attempt should meet in a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Blocked,
    /// It gets out, and the tier's description says so.
    Open(&'static str),
    /// The tier cannot keep the settings that the attempt is about, and does not begin with them.
    Refused,
}

/// What the host does before the attempt, or while it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// A program makes a socket in the workspace.
    Socket,
    /// A program looks for a server on its loopback.
    Connect,
    /// The user's git changes its settings.
    GitConfig,
    /// The user has git keep settings for this work tree alone.
    WorktreeConfig,
    /// This folder is not there, and no command has run since it is gone.
    Without(&'static str),
    /// The user has allowed one host.
    AllowHost,
    /// A folder of the workspace is hidden, and a command before has moved the one above it.
    MoveAboveHidden,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Up to 56: the number in the list that the sandbox was designed against.
    pub number: u32,
    pub name: &'static str,
    /// Module and function below `probes/`.
    pub probe: &'static str,
    pub control: Control,
    pub expect: [Expect; 3],
    /// What the attempt says, among other words, where every way that it knows leads out.
    pub proof: &'static str,
    pub before: Before,
    /// It leaves a ground on which others could not try any more.
    pub spoils: bool,
}

/// An attempt that every tier blocks.
const fn row(number: u32, name: &'static str, probe: &'static str, control: Control) -> Row {
    let before = Before::Nothing;
    let expect = [Expect::Blocked; 3];
    Row { number, name, probe, control, expect, proof: "", before, spoils: false }
}

impl Row {
    /// Open where nothing hides the machine's files and processes.
    const fn open_in_c(mut self, why: &'static str) -> Self {
        self.expect[2] = Expect::Open(why);
        self
    }

    /// Open where there are mounts; the last tier has another answer.
    const fn open_in_a_and_b(mut self, why: &'static str) -> Self {
        self.expect[0] = Expect::Open(why);
        self.expect[1] = Expect::Open(why);
        self
    }

    const fn refused_in_c(mut self) -> Self {
        self.expect[2] = Expect::Refused;
        self
    }

    const fn open(mut self, why: &'static str) -> Self {
        self.expect = [Expect::Open(why); 3];
        self
    }

    const fn proof(mut self, proof: &'static str) -> Self {
        self.proof = proof;
        self
    }

    const fn before(mut self, before: Before) -> Self {
        self.before = before;
        self
    }

    const fn spoils(mut self) -> Self {
        self.spoils = true;
        self
    }
}

const KERNEL: &str = "needs a kernel with this feature";
const LATER: &str = "what a program of the machine begins to listen on later is not covered";
const COMMON: &str = "nothing can be mounted over a file that is not there yet. What git would obey \
                      is flagged when the command ends";
const OWN_SETTINGS: &str = "nothing can be mounted over a folder that is not there yet. Settings of a \
                            workspace that nobody trusts can only tighten";
const RUNNING: Control = Sometimes("not while it runs");
const FROZEN: &str = "Landlock closes nothing below a folder that is open";
const BOMB: &str = "would take the machine along";
const OWN_REPOSITORY: &str = "a repository is the workspace's own content; git reads it only when \
                              somebody works in that folder. It is flagged when the command ends";

pub const ROWS: &[Row] = &[
    row(1, "write ~/.bashrc", "files.write_bashrc", Works),
    row(2, "create ~/.config/autostart", "files.create_autostart", Works),
    row(3, "read ~/.ssh", "files.read_ssh_key", Works),
    row(4, "read the shell's history", "files.read_history", Works),
    row(6, "read the environment of the host's processes", "processes.host_environ", Works),
    row(7, "write through a symlink that leads out", "files.write_through_symlink", Works),
    row(8, "hardlink a file in, then write it", "files.hardlink_in", Works),
    row(9, "rename, link and exchange files out", "files.rename_out", Works),
    row(10, "TCP to the host's loopback and addresses", "network.tcp", Works),
    row(11, "UDP to the host's loopback and addresses", "network.udp", Works),
    row(12, "AF_PACKET and raw sockets", "network.packet", AsRoot),
    row(13, "AF_VSOCK", "network.virtual_machine", Sometimes(KERNEL)),
    row(14, "AF_ALG", "network.crypto", Sometimes(KERNEL)),
    row(15, "a docker.sock, at home and in a folder to be read", "network.docker", Works),
    row(16, "an abstract socket of the host", "network.abstract", Works),
    row(17, "a socket of the host that lies in the workspace", "network.workspace_socket", Works),
    row(18, "ptrace a process of the host", "processes.trace", Works),
    row(19, "read /proc/PID/mem of a process of the host", "processes.read_mem", Works),
    row(20, "process_vm_readv", "processes.read_vm", Works),
    row(21, "signal a process of the host", "processes.signal_host", Works),
    row(22, "io_uring_setup", "kernel.io_uring", Sometimes(KERNEL)),
    row(23, "unshare a user namespace", "kernel.new_user_namespace", Works),
    row(24, "remount what may only be read", "files.remount_rw", AsRoot),
    row(25, "setns into the host's namespaces", "processes.enter_namespaces", AsRoot),
    row(26, "read /proc/1/mem", "processes.first_mem", Sometimes("needs the rights of process 1")),
    row(27, "read a home through /proc/PID/root", "processes.first_root", Works),
    row(28, "open /proc/1/fd", "processes.first_descriptors", Works),
    row(
        29,
        "use inherited descriptors",
        "processes.inherited_descriptors",
        Never("limn marks every descriptor without a sandbox too"),
    ),
    row(30, "plant a git hook, or a link in the place of the hooks", "repository.hooks", Works)
        .open_in_c(FROZEN)
        .spoils(),
    row(31, "write .git/config, in place and by renaming", "repository.config", Works)
        .open_in_c(FROZEN)
        .spoils(),
    row(32, "rename .git and put another in its place", "repository.rename_git", Works)
        .open_in_c(FROZEN)
        .spoils(),
    row(33, "a repository of its own, with settings of its own", "repository.nested", Works)
        .open(OWN_REPOSITORY)
        .spoils(),
    row(34, "TIOCSTI, also with high bits", "terminal.type_for_user", Sometimes(KERNEL)),
    row(35, "write on another terminal", "terminal.other_terminal", Works),
    row(36, "plant a program in ~/.local/bin", "files.plant_local_bin", Works),
    row(37, "become another user by a setuid program", "files.setuid_exec", Works),
    row(38, "read and write the host's /tmp", "files.host_tmp", Works),
    row(39, "read the user's keyring in the kernel", "processes.keyring", Sometimes(KERNEL)),
    row(40, "open a file by its handle", "files.open_by_handle", AsRoot),
    row(41, "bpf, perf_event_open, userfaultfd", "kernel.tracing", Works),
    row(42, "int 0x80", "kernel.old_system_calls", Sometimes(KERNEL)),
    row(43, "system calls by their x32 numbers", "kernel.x32_system_calls", Sometimes(KERNEL)),
    row(44, "leave a daemon behind", "processes.daemon", Never("limn ends those too")).spoils(),
    row(45, "write core_pattern", "kernel.core_pattern", AsRoot),
    row(46, "make or change control groups", "kernel.control_groups", AsRoot),
    row(47, "leave a setuid program in the workspace, in eight ways", "files.chmod_setuid", Works)
        .proof("8 setuid programs")
        .spoils(),
    row(48, "make a device", "files.device_node", AsRoot),
    row(49, "chmod outside", "files.chmod_outside", Works)
        .open_in_c("no rule of Landlock covers modes"),
    row(50, "plant a bare repository", "repository.bare", Works).open(OWN_REPOSITORY).spoils(),
    row(
        51,
        "past the list of hosts: plain HTTP, addresses, no proxy, tunnels, the clouds' keys",
        "network.through_proxy",
        Works,
    )
    .before(Before::AllowHost)
    .spoils(),
    row(52, "5,000 processes", "limits.fork_bomb", Never(BOMB)),
    row(53, "fill /tmp", "limits.fill_tmp", Never(BOMB)),
    row(57, "overwrite the program that holds the sandbox", "files.overwrite_holder", RUNNING),
    row(58, "other settings of the kernel in /proc/sys and /sys", "kernel.kernel_settings", AsRoot),
    row(59, "clone3 into a user namespace", "kernel.clone3_namespaces", Works),
    row(60, "clone into a user namespace", "kernel.clone_namespaces", Works),
    row(61, "unshare a mount namespace", "kernel.new_mount_namespace", AsRoot),
    row(62, "mount, fsopen, open_tree, umount", "files.mount_something", AsRoot),
    row(63, "chroot and climb out", "files.chroot_out", AsRoot),
    row(64, "write .limn, or put another folder in its place", "files.limn_folder", Works)
        .open_in_c(FROZEN)
        .spoils(),
    row(65, "read limn's recordings, by name and through /proc", "files.data_folder", Works),
    row(66, "replace the workspace itself", "files.replace_workspace", Works).spoils(),
    row(67, "reopen a file to be read for writing", "files.reopen_for_writing", Works),
    row(68, "make and remove things in a folder to be read", "files.make_in_outside", Works),
    row(69, "times, attributes, lengths, owners outside", "files.touch_outside", Works)
        .open_in_c("no rule of Landlock covers times and attributes"),
    row(70, "read and write /dev/shm", "files.shared_memory_file", Works),
    row(71, "attach System V shared memory of the host", "processes.shared_memory", Works),
    row(72, "watch a hidden folder", "files.watch_home", Works)
        .open_in_c("no rule of Landlock covers watching: names, but no contents"),
    row(73, "read /etc/shadow", "files.read_shadow", AsRoot),
    row(74, "read disks and memory by their devices", "files.read_disk", AsRoot),
    row(75, "give a file capabilities", "files.file_capability", AsRoot),
    row(76, "signals without kill: pidfd, sigqueue, F_SETOWN", "processes.signal_sideways", Works),
    row(77, "kill who holds the sandbox", "processes.signal_holder", AsRoot).spoils(),
    row(78, "ptrace who holds the sandbox", "processes.trace_holder", AsRoot),
    row(79, "take a descriptor out of a process of the host", "processes.steal_descriptor", Works),
    row(80, "limits and priorities of the host's processes", "processes.tune_host", Works),
    row(81, "the master of a terminal", "processes.terminal_master", Works),
    row(82, "run limn inside, told to have no sandbox", "processes.nested_limn", Works),
    row(83, "a program in memory", "processes.memfd_program", Works),
    row(84, "leave a core", "processes.core_dump", Sometimes("needs a limit above nothing")),
    row(85, "TIOCLINUX, TIOCCONS, line disciplines", "terminal.take_console", AsRoot),
    row(86, "the system request key", "kernel.system_request", Sometimes(KERNEL)),
    row(87, "rewrite the maps of users", "kernel.own_world", Never("there is no map to rewrite")),
    row(88, "modules, kexec, reboot, swap, accounting", "kernel.privileged_calls", AsRoot),
    row(89, "read the kernel's log", "kernel.kernel_log", AsRoot),
    row(90, "sockets of every other family", "kernel.strange_sockets", Works),
    row(91, "TCP without connect, and beside TCP", "network.tcp_without_connect", Works),
    row(92, "datagrams to sockets of the host, also from a pair", "network.datagrams", Works),
    row(93, "a socket that the host makes later", "network.late_workspace_socket", Works)
        .before(Before::Socket)
        .open_in_a_and_b(LATER)
        .spoils(),
    row(94, "every socket that /proc/net/unix names", "network.all_unix_sockets", Works),
    row(95, "netlink: links, audit, events of processes", "network.netlink", Works),
    row(96, "ask the machine's name server", "network.name_service", Sometimes("needs one")),
    row(97, "serve on the host's loopback", "network.listens_for_host", Works)
        .before(Before::Connect)
        .spoils(),
    row(
        98,
        ".git/config after the user's own git has changed it",
        "repository.config_after_host_wrote",
        Works,
    )
    .before(Before::GitConfig)
    .open_in_c(FROZEN)
    .spoils(),
    row(99, "a .git/commondir that leads elsewhere", "repository.common_folder", Works)
        .open(COMMON)
        .spoils(),
    row(100, "settings of a submodule, also by renaming", "repository.submodule_config", Works)
        .proof("in place, the module, all modules")
        .open_in_c(FROZEN)
        .spoils(),
    row(101, "fill /dev/shm", "limits.fill_shm", Never(BOMB)),
    row(102, "twice the memory that is allowed", "limits.hog_memory", Never(BOMB)),
    row(104, "make .limn where there is none", "files.new_limn_folder", Works)
        .before(Before::Without("work/.limn"))
        .open(OWN_SETTINGS)
        .spoils(),
    row(105, "make .git where there is none", "repository.new_repository", Works)
        .before(Before::Without("work/.git"))
        .open(COMMON)
        .spoils(),
    row(106, "make the folder of hooks where there is none", "repository.new_hooks", Works)
        .before(Before::Without("work/.git/hooks"))
        .open(COMMON)
        .spoils(),
    row(107, "settings of a single work tree", "repository.worktree_config", Works)
        .before(Before::WorktreeConfig)
        .open_in_c(FROZEN)
        .spoils(),
    row(
        108,
        "rename the folder above what is hidden, and read it in the next command",
        "files.moved_hidden",
        Works,
    )
    .before(Before::MoveAboveHidden)
    .refused_in_c()
    .spoils(),
];

/// What stands before and after the table in the documentation.
const MARKS: (&str, &str) = ("<!-- the table of tests/escapes/table.rs -->\n", "<!-- its end -->");

/// The table as docs/escapes.md has it.
fn render() -> String {
    let mut text = String::from(
        "| | attempt | namespaces | bwrap | landlock | without a sandbox |\n\
         | --: | --- | --- | --- | --- | --- |\n",
    );
    for row in ROWS {
        let [namespaces, bwrap, landlock] = row.expect.map(Expect::shown);
        let control = match row.control {
            Works => "gets out".to_owned(),
            AsRoot => "gets out as root".to_owned(),
            Sometimes(why) => format!("may get out: {why}"),
            Never(why) => format!("not tried: {why}"),
        };
        let (number, name) = (row.number, row.name);
        text +=
            &format!("| {number} | {name} | {namespaces} | {bwrap} | {landlock} | {control} |\n");
    }
    let reasons = reasons();
    if !reasons.is_empty() {
        text.push('\n');
    }
    for (index, reason) in reasons.iter().enumerate() {
        text += &format!("{}. {reason}.\n", index + 1);
    }
    text
}

/// Why something is open, each reason once.
fn reasons() -> Vec<&'static str> {
    let mut found = Vec::new();
    for expect in ROWS.iter().flat_map(|row| row.expect) {
        if let Expect::Open(why) = expect
            && !found.contains(&why)
        {
            found.push(why);
        }
    }
    found
}

fn number(reason: &str) -> usize {
    reasons().iter().position(|it| *it == reason).unwrap() + 1
}

impl Expect {
    fn shown(self) -> String {
        match self {
            Self::Blocked => "blocked".to_owned(),
            Self::Open(why) => format!("**open** ({})", number(why)),
            Self::Refused => "refused from the start".to_owned(),
        }
    }
}

#[test]
fn the_documentation_has_this_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/escapes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS.0).expect("the mark before the table");
    let (shown, after) = rest.split_once(MARKS.1).expect("the mark after the table");
    let expected = format!("\n{}\n", render());
    if std::env::var_os("LIMN_WRITE_DOCS").is_some() {
        let text = format!("{before}{}{expected}{}{after}", MARKS.0, MARKS.1);
        std::fs::write(&path, text).unwrap();
        return;
    }
    assert!(
        shown == expected,
        "docs/escapes.md has another table; LIMN_WRITE_DOCS=1 cargo test --test escapes \
         documentation writes this one:\n{expected}"
    );
}

#[test]
fn every_attempt_has_a_number_of_its_own() {
    for (index, row) in ROWS.iter().enumerate() {
        assert!(ROWS[..index].iter().all(|other| other.number < row.number), "{}", row.number);
    }
    // The list that the sandbox was designed against. Those that need limn itself, its settings,
    // its file tools or the terminal that it runs in, are in `whole`.
    let elsewhere = [5, 54, 55, 56];
    let missing: Vec<u32> = (1..=56)
        .filter(|number| !elsewhere.contains(number))
        .filter(|number| !ROWS.iter().any(|row| row.number == *number))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
