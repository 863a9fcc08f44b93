//! CUDA graphs: the calls of a piece of work, recorded once and made again as one.
//!
//! A step of one token asks a GPU for a thousand small things, and asking takes longer than they
//! do. What is recorded reads and writes the same places in memory each time: numbers in them may
//! change, places and shapes may not.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use tch::Device;

use crate::error::Result;
use crate::torch::memory::number;
use crate::torch::shim::checked;

#[allow(unsafe_code, reason = "the shim is C++")]
unsafe extern "C" {
    fn limn_graph_pool(pool: *mut u64) -> c_int;
    fn limn_aside_enter(device: c_int, aside: *mut *mut c_void) -> c_int;
    fn limn_aside_leave(aside: *mut c_void);
    fn limn_graph_begin(pool: *const u64, graph: *mut *mut c_void) -> c_int;
    fn limn_graph_end(graph: *mut c_void) -> c_int;
    fn limn_graph_replay(graph: *mut c_void) -> c_int;
    fn limn_graph_free(graph: *mut c_void);
}

/// Where the graphs of one GPU are recorded.
#[derive(Debug)]
pub struct Graphs {
    device: c_int,
    /// The memory that all of them compute in: none is replayed while another is.
    pool: [u64; 2],
}

impl Graphs {
    /// Graphs of this device.
    ///
    /// # Errors
    /// When the libtorch that runs has none, and what of it is missing.
    #[allow(unsafe_code, reason = "a call of the shim")]
    pub fn new(device: Device) -> Result<Self> {
        let mut pool = [0; 2];
        // SAFETY: the two numbers outlive the call.
        checked(unsafe { limn_graph_pool(pool.as_mut_ptr()) })?;
        Ok(Self { device: number(device), pool })
    }

    /// Does the work, then records it: what it writes is written once. It must wait for nothing
    /// that the GPU computes, and copy nothing from or to it.
    ///
    /// # Errors
    /// When the work fails, or asks for what cannot be recorded.
    pub fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Graph> {
        let _aside = Aside::enter(self.device)?;
        // Libraries make what they need the first time that they are asked.
        work()?;
        let graph = self.begin()?;
        let worked = work();
        let ended = graph.end();
        worked.and(ended)?;
        Ok(graph)
    }

    #[allow(unsafe_code, reason = "a call of the shim")]
    fn begin(&self) -> Result<Graph> {
        let mut graph = std::ptr::null_mut();
        // SAFETY: both outlive the call.
        checked(unsafe { limn_graph_begin(self.pool.as_ptr(), &raw mut graph) })?;
        Ok(Graph(NonNull::new(graph).expect("the shim made a graph")))
    }
}

/// What was recorded. The tensors that it reads and writes have to live as long as it does.
#[derive(Debug)]
pub struct Graph(NonNull<c_void>);

// SAFETY: a graph belongs to no thread: CUDA and libtorch let any of them replay and free it, and
// only one has it.
#[allow(unsafe_code, reason = "a pointer that only its owner uses")]
unsafe impl Send for Graph {}

impl Graph {
    /// Does what was recorded, behind what this thread asked for before.
    ///
    /// # Errors
    /// When the GPU does not take it.
    #[allow(unsafe_code, reason = "a call of the shim")]
    pub fn replay(&self) -> Result<()> {
        // SAFETY: the shim made the graph, and it is not freed.
        checked(unsafe { limn_graph_replay(self.0.as_ptr()) })
    }

    #[allow(unsafe_code, reason = "a call of the shim")]
    fn end(&self) -> Result<()> {
        // SAFETY: the shim made the graph, and it is not freed.
        checked(unsafe { limn_graph_end(self.0.as_ptr()) })
    }
}

impl Drop for Graph {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn drop(&mut self) {
        // SAFETY: the shim made the graph, and nobody uses it any more.
        unsafe { limn_graph_free(self.0.as_ptr()) }
    }
}

/// A stream beside the one that is computed on, until it is dropped.
struct Aside(*mut c_void);

impl Aside {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn enter(device: c_int) -> Result<Self> {
        let mut aside = std::ptr::null_mut();
        // SAFETY: the pointer outlives the call.
        checked(unsafe { limn_aside_enter(device, &raw mut aside) })?;
        Ok(Self(aside))
    }
}

impl Drop for Aside {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn drop(&mut self) {
        // SAFETY: the shim made it on this thread, which it cannot leave.
        unsafe { limn_aside_leave(self.0) }
    }
}
