//! Signals, which end the terminal in order.
//!
//! Once one of a kind was listened for, it never does what it would do otherwise: so a key that sends
//! one to every program of the terminal ends nothing that the editor was to hear.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::yield_now;

/// What ends the terminal from outside.
pub(super) struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Ctrl-C and ctrl-\ in an editor go to every program of the terminal, as git's do too.
    pub(super) async fn forget_keys(&mut self) -> io::Result<()> {
        // The runtime takes notice of what came.
        yield_now().await;
        self.interrupt = signal(SignalKind::interrupt())?;
        self.quit = signal(SignalKind::quit())?;
        Ok(())
    }

    /// Waits for one. While somebody writes in an editor, those that a key sends are the editor's.
    pub(super) async fn any(&mut self, is_edited: bool) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.interrupt.recv(), if !is_edited => {}
            _ = self.quit.recv(), if !is_edited => {}
        }
    }
}
