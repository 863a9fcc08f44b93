//! Waiting for the first of several things, on a thread without a runtime.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Something that may happen.
pub(super) type Event<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns when one of these happens, or it is this late.
pub(super) fn wait_for_any(events: &mut [Event<'_>], until: Option<Instant>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        // All are asked, so that each wakes this thread.
        let happened = events
            .iter_mut()
            .filter_map(|event| event.as_mut().poll(&mut context).is_ready().then_some(()));
        if happened.count() > 0 {
            return;
        }
        match until {
            None => thread::park(),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                thread::park_timeout(left);
            }
        }
    }
}
