//! CUDA graphs: the calls of a piece of work, recorded once and made again as one.
//!
//! A step of one token asks a GPU for a thousand small things, and asking takes longer than they
//! do. What is recorded reads and writes the same places in memory each time: numbers in them may
//! change, places and shapes may not.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use tch::Device;

use crate::error::Result;
use crate::torch::memory::device_number;
use crate::torch::shim::checked;

#[allow(unsafe_code, reason = "the shim is C++")]
unsafe extern "C" {
    fn limn_graphs_open(device: c_int, graphs: *mut *mut c_void) -> c_int;
    fn limn_graphs_close(graphs: *mut c_void);
    fn limn_aside_enter(graphs: *const c_void, aside: *mut *mut c_void) -> c_int;
    fn limn_aside_leave(aside: *mut c_void);
    fn limn_graph_begin(graphs: *const c_void, graph: *mut *mut c_void) -> c_int;
    fn limn_graph_end(graph: *mut c_void) -> c_int;
    fn limn_graph_replay(graph: *mut c_void) -> c_int;
    fn limn_graph_free(graph: *mut c_void);
}

/// Where the graphs of one GPU are recorded. They compute in the same memory: none is replayed
/// while another is.
#[derive(Debug)]
pub struct Graphs(*mut c_void);

// SAFETY: it is numbers, and only one has it.
#[allow(unsafe_code, reason = "a pointer that only its owner uses")]
unsafe impl Send for Graphs {}

impl Graphs {
    /// Graphs of this device.
    ///
    /// # Errors
    /// When the libtorch that runs has none, and what of it is missing.
    #[allow(unsafe_code, reason = "a call of the shim")]
    pub fn new(device: Device) -> Result<Self> {
        let mut graphs = std::ptr::null_mut();
        // SAFETY: the pointer outlives the call.
        checked(unsafe { limn_graphs_open(device_number(device), &raw mut graphs) })?;
        Ok(Self(graphs))
    }

    /// Does the work, then records it: what it writes is written once. It must wait for nothing
    /// that the GPU computes, and copy nothing from or to it.
    ///
    /// # Errors
    /// When the work fails, or asks for what cannot be recorded.
    pub fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Graph> {
        let _aside = Aside::enter(self)?;
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
        checked(unsafe { limn_graph_begin(self.0, &raw mut graph) })?;
        Ok(Graph(graph))
    }
}

impl Drop for Graphs {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn drop(&mut self) {
        // SAFETY: the shim made them, and nobody uses them any more.
        unsafe { limn_graphs_close(self.0) }
    }
}

/// What was recorded. The tensors that it reads and writes have to live as long as it does.
#[derive(Debug)]
pub struct Graph(*mut c_void);

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
        checked(unsafe { limn_graph_replay(self.0) })
    }

    #[allow(unsafe_code, reason = "a call of the shim")]
    fn end(&self) -> Result<()> {
        // SAFETY: the shim made the graph, and it is not freed.
        checked(unsafe { limn_graph_end(self.0) })
    }
}

impl Drop for Graph {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn drop(&mut self) {
        // SAFETY: the shim made the graph, and nobody uses it any more.
        unsafe { limn_graph_free(self.0) }
    }
}

/// The stream of graphs, until it is dropped.
struct Aside<'a>(*mut c_void, PhantomData<&'a Graphs>);

impl<'a> Aside<'a> {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn enter(graphs: &'a Graphs) -> Result<Self> {
        let mut aside = std::ptr::null_mut();
        // SAFETY: both outlive the call.
        checked(unsafe { limn_aside_enter(graphs.0, &raw mut aside) })?;
        Ok(Self(aside, PhantomData))
    }
}

impl Drop for Aside<'_> {
    #[allow(unsafe_code, reason = "a call of the shim")]
    fn drop(&mut self) {
        // SAFETY: the shim made it on this thread, which it cannot leave.
        unsafe { limn_aside_leave(self.0) }
    }
}
