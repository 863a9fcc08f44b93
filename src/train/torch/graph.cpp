// CUDA graphs: the calls of a piece of work, recorded once and made again as one.
//
// The class that records is in the half of libtorch that computes on a GPU, which this binary is not
// linked against. Its members are looked up by their names in libtorch 2.11 (ATen/cuda/CUDAGraph.h):
// where one is missing there are no graphs, and that is said. Streams and devices go through c10,
// which knows every device by its type.
//
// As in shim.cpp, functions return 0, or 1 or 2 and what happened is in limn_error().

#include <cstddef>
#include <memory>
#include <utility>

#include <dlfcn.h>

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "guard.hpp"

using limn::guarded;

namespace {

// Other threads may go on with what a recording thread may not do.
constexpr int THREAD_LOCAL = 1;

// The members of at::cuda::CUDAGraph that are used, and where its pools of memory come from.
struct Members {
  void (*make)(void*, bool);
  void (*unmake)(void*);
  void (*begin)(void*, c10::MempoolId_t, int);
  void (*end)(void*);
  void (*replay)(void*);
  c10::MempoolId_t (*pool)();
};

template <typename Function>
void find(Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
  TORCH_CHECK(function, "this libtorch has no CUDA graphs that are known: no ", name);
}

const Members& members() {
  static const Members found = [] {
    Members all{};
    find(all.make, "_ZN2at4cuda9CUDAGraphC1Eb");
    find(all.unmake, "_ZN2at4cuda9CUDAGraphD1Ev");
    find(all.begin, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
    find(all.end, "_ZN2at4cuda9CUDAGraph11capture_endEv");
    find(all.replay, "_ZN2at4cuda9CUDAGraph6replayEv");
    find(all.pool, "_ZN2at4cuda17graph_pool_handleEv");
    return all;
  }();
  return found;
}

// Where the graphs of a device are recorded: a stream beside the one that is computed on, of which
// nothing can be recorded, and the memory that they compute in. It is one stream for all of them,
// since libraries keep memory for each that they see.
struct Graphs {
  explicit Graphs(int number)
      : device(c10::kCUDA, static_cast<c10::DeviceIndex>(number)),
        pool(members().pool()),
        guard(c10::kCUDA),
        stream(guard.getStreamFromGlobalPool(device)) {}

  c10::Device device;
  c10::MempoolId_t pool;
  c10::impl::VirtualGuardImpl guard;
  c10::Stream stream;
};

// That stream, while this is there. What was begun before is done when it begins, and what is begun
// meanwhile when it ends.
class Aside {
 public:
  explicit Aside(const Graphs& graphs)
      : guard_(graphs.guard), device_(guard_.exchangeDevice(graphs.device)),
        stream_(guard_.getStream(graphs.device)) {
    guard_.synchronizeDevice(graphs.device.index());
    guard_.exchangeStream(graphs.stream);
  }

  ~Aside() {
    try {
      guard_.synchronizeDevice(stream_.device_index());
    } catch (...) {
      // Whatever is computed next says it.
    }
    try {
      guard_.exchangeStream(stream_);
      guard_.exchangeDevice(device_);
    } catch (...) {
    }
  }

  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

 private:
  const c10::impl::VirtualGuardImpl& guard_;
  c10::Device device_;
  c10::Stream stream_;
};

// at::cuda::CUDAGraph in room of our own: it has 104 bytes in libtorch 2.11.
class Graph {
 public:
  Graph() { members().make(room_, /*keep_graph=*/false); }
  ~Graph() {
    try {
      members().unmake(room_);
    } catch (...) {
    }
  }

  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void begin(c10::MempoolId_t pool) { members().begin(room_, pool, THREAD_LOCAL); }
  void end() { members().end(room_); }
  void replay() { members().replay(room_); }

 private:
  alignas(std::max_align_t) unsigned char room_[1024] = {};
};

}  // namespace

extern "C" {

// Graphs of a device, which are never replayed at once.
int limn_graphs_open(int device, Graphs** graphs) {
  return guarded([&] { *graphs = new Graphs(device); });
}

void limn_graphs_close(Graphs* graphs) { delete graphs; }

// Goes to the stream on which is recorded. limn_aside_leave goes back.
int limn_aside_enter(const Graphs* graphs, Aside** aside) {
  return guarded([&] { *aside = new Aside(*graphs); });
}

void limn_aside_leave(Aside* aside) { delete aside; }

// From now on what this thread asks the GPU for is written down and not done.
int limn_graph_begin(const Graphs* graphs, Graph** graph) {
  return guarded([&] {
    auto made = std::make_unique<Graph>();
    made->begin(graphs->pool);
    *graph = made.release();
  });
}

// Until now. A graph that cannot be ended is to be freed as any other.
int limn_graph_end(Graph* graph) {
  return guarded([&] { graph->end(); });
}

// Does what was written down, behind what this thread asked for before.
int limn_graph_replay(Graph* graph) {
  return guarded([&] { graph->replay(); });
}

void limn_graph_free(Graph* graph) { delete graph; }

}  // extern "C"
