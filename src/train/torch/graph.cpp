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

// A device, and a stream of it beside the one that is computed on: of that nothing can be recorded.
// What was begun before is done when this begins, and what is begun here when it ends.
class Aside {
 public:
  explicit Aside(int device)
      : guard_(c10::kCUDA),
        device_(guard_.exchangeDevice(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)))),
        stream_(guard_.getStream(guard_.getDevice())) {
    guard_.synchronizeDevice(guard_.getDevice().index());
    guard_.exchangeStream(guard_.getStreamFromGlobalPool(guard_.getDevice()));
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
  c10::impl::VirtualGuardImpl guard_;
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

// A pool of memory that graphs may share which are never replayed at once: two numbers.
int limn_graph_pool(unsigned long long* pool) {
  return guarded([&] { std::tie(pool[0], pool[1]) = members().pool(); });
}

// Goes to a stream on which can be recorded. limn_aside_leave goes back.
int limn_aside_enter(int device, Aside** aside) {
  return guarded([&] { *aside = new Aside(device); });
}

void limn_aside_leave(Aside* aside) { delete aside; }

// From now on what this thread asks the GPU for is written down and not done.
int limn_graph_begin(const unsigned long long* pool, Graph** graph) {
  return guarded([&] {
    auto made = std::make_unique<Graph>();
    made->begin({pool[0], pool[1]});
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
