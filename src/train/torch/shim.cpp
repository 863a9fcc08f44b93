// What tch leaves out of libtorch and limn-train needs, with C linkage.
//
// Every function returns 0 when it succeeded. Otherwise it returns 1, or 2 when memory ran out, and
// limn_error() holds what happened until the next call on this thread. Tensors are pointers to
// at::Tensor as tch holds them; those that are returned belong to the caller.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>
#include <type_traits>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>
#include <c10/core/alignment.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include "blocks.hpp"
#include "few_rows.hpp"
#include "guard.hpp"

using limn::guarded;

namespace {

std::vector<at::Tensor> collect(at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (size_t at = 0; at < count; ++at) all.push_back(*tensors[at]);
  return all;
}

// What a thread may still take of the processor's memory.
thread_local size_t granted = std::numeric_limits<size_t>::max();

// Memory of the processor, counted and bounded; large blocks are kept when they are given back.
//
// Tensors on the processor come from here. The counts are what a plan is compared with where there
// is no GPU, and the bound makes an allocation fail as it would on a full one.
class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* beneath) : beneath_(beneath) {}

  c10::DataPtr allocate(size_t bytes) override {
    TORCH_CHECK_WITH(
        OutOfMemoryError, bytes <= granted && bytes <= SIZE_MAX - HEAD, "out of memory: ", bytes,
        " bytes where ", granted, " are left");
    if (!bytes) return c10::DataPtr(nullptr, nullptr, &CountingAllocator::release, c10::kCPU);
    c10::DataPtr inner;
    size_t length = 0;
    void* place = nullptr;
    if (bytes < limn::Blocks::LEAST) {
      inner = beneath_->allocate(HEAD + bytes);
      place = inner.get();
    } else {
      place = blocks_.take(HEAD + bytes, &length);
      TORCH_CHECK_WITH(OutOfMemoryError, place, "out of memory: the system has no ", bytes, " bytes");
    }
    new (place) Held{this, bytes, length, std::move(inner)};
    const size_t now = used_.fetch_add(bytes) + bytes;
    size_t peak = peak_.load();
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
    if (granted != std::numeric_limits<size_t>::max()) granted -= bytes;
    void* data = static_cast<char*>(place) + HEAD;
    return c10::DataPtr(data, data, &CountingAllocator::release, c10::kCPU);
  }

  // Kernels that ask for plain memory, as those for matrix units do, give it back by its address.
  c10::DeleterFnPtr raw_deleter() const override { return &CountingAllocator::release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }

  size_t used() const { return used_.load(); }
  size_t peak() const { return peak_.load(); }
  void reset_peak() { peak_.store(used_.load()); }

 private:
  // What is known of memory that was given out, right before it.
  struct Held {
    CountingAllocator* owner;
    size_t bytes;
    // Of a block that is a mapping of its own; otherwise it is the other allocator's.
    size_t length;
    c10::DataPtr inner;
  };

  // Keeps what follows aligned as libtorch wants it.
  static constexpr size_t HEAD = 64;
  static_assert(sizeof(Held) <= HEAD && HEAD % c10::gAlignment == 0);

  static void release(void* data) {
    if (!data) return;
    void* place = static_cast<char*>(data) - HEAD;
    Held* held = static_cast<Held*>(place);
    const Held was = std::move(*held);
    held->~Held();
    was.owner->used_.fetch_sub(was.bytes);
    if (granted != std::numeric_limits<size_t>::max()) granted += was.bytes;
    if (was.length) was.owner->blocks_.give(place, was.length);
  }

  c10::Allocator* beneath_;
  limn::Blocks blocks_;
  std::atomic<size_t> used_{0};
  std::atomic<size_t> peak_{0};
};

CountingAllocator& counting() {
  static auto* allocator = [] {
    auto* made = new CountingAllocator(c10::GetCPUAllocator());
    c10::SetCPUAllocator(made, /*priority=*/1);
    return made;
  }();
  return *allocator;
}

// Whether a product is one of few rows, and its way back is not wanted.
bool is_few(const at::Tensor& input, const at::Tensor& weight) {
  const at::ScalarType kind = weight.scalar_type();
  return !c10::GradMode::is_enabled() && input.is_cpu() && weight.is_cpu() &&
      input.scalar_type() == kind && (kind == at::kFloat || kind == at::kBFloat16) &&
      weight.dim() == 2 && weight.is_contiguous() && input.dim() == 2 && input.size(1) == weight.size(1) && input.size(0) >= 1 &&
      input.size(0) <= limn::FEW_ROWS;
}

// The product in single precision, of weights that lie there as these.
template <typename Weight>
at::Tensor few_rows(const at::Tensor& input, const at::Tensor& weight) {
  at::Tensor rows = input.to(at::kFloat).contiguous();
  const int64_t inputs = weight.size(1), outputs = weight.size(0);
  at::Tensor found = at::empty({rows.size(0), outputs}, rows.options());
  // Of another kind they are a copy already.
  if constexpr (std::is_same_v<Weight, limn::Bf16>) {
    limn::arrange(rows.mutable_data_ptr<float>(), rows.size(0), inputs);
  }
  const float* from = rows.const_data_ptr<float>();
  const auto* weights = static_cast<const Weight*>(weight.const_data_ptr());
  float* to = found.mutable_data_ptr<float>();
  // Every shape of tile divides a block. Threads take a few at a time as they get on: memory does not
  // serve them evenly.
  constexpr int64_t BLOCK = 24;
  const int64_t blocks = (outputs + BLOCK - 1) / BLOCK;
  const int64_t step = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, inputs * BLOCK));
  const int64_t parts = std::min<int64_t>(at::get_num_threads(), (blocks + step - 1) / step);
  std::atomic<int64_t> next{0};
  at::parallel_for(0, parts, 1, [&](int64_t, int64_t) {
    for (int64_t at = next.fetch_add(step); at < blocks; at = next.fetch_add(step)) {
      limn::few_rows(
          from, weights, to, rows.size(0), inputs, outputs, at * BLOCK,
          std::min((at + step) * BLOCK, outputs));
    }
  });
  return found;
}

// Backends of attention, as libtorch numbers them.
constexpr int64_t FLASH = 1;
constexpr int64_t CUDNN = 3;

bool has_accelerator() {
  return at::hasCUDA() && at::accelerator::isAccelerator(at::kCUDA);
}

// The number of a CUDA device whose allocator can be asked: that is made with the first tensor there
// unless somebody makes it before.
c10::DeviceIndex awake(int device) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  return static_cast<c10::DeviceIndex>(device);
}

}  // namespace

extern "C" {

const char* limn_error() { return limn::last_error.c_str(); }

const char* limn_torch_version() { return TORCH_VERSION; }

// Begins to count the memory of tensors on the processor. Those made earlier are not counted.
void limn_memory_count() { counting(); }

// device is -1 for the processor, or the number of a CUDA device.
int limn_memory(int device, size_t* used, size_t* peak, size_t* reserved) {
  return guarded([&] {
    if (device < 0) {
      *used = counting().used();
      *peak = counting().peak();
      *reserved = counting().used();
      return;
    }
    const auto stats = at::accelerator::getDeviceStats(awake(device));
    const auto aggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *used = stats.allocated_bytes[aggregate].current;
    *peak = stats.allocated_bytes[aggregate].peak;
    *reserved = stats.reserved_bytes[aggregate].peak;
  });
}

int limn_memory_reset_peak(int device) {
  return guarded([&] {
    if (device < 0) {
      counting().reset_peak();
    } else {
      at::accelerator::resetPeakStats(awake(device));
    }
  });
}

// Lets this thread take so much more of the processor's memory for tensors, and no more. What it
// gives back it may take again.
void limn_memory_limit(size_t bytes) {
  counting();
  granted = bytes;
}

// Gives the pages that a tensor of the processor fills alone back to the system, which gives them again
// when something is written there. What was written is lost.
int limn_memory_forget(at::Tensor* tensor) {
  return guarded([&] {
    TORCH_CHECK(tensor->is_cpu() && tensor->is_contiguous(), "memory in one piece is forgotten");
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto place = reinterpret_cast<uintptr_t>(tensor->data_ptr());
    const uintptr_t begin = (place + page - 1) / page * page;
    const uintptr_t end = (place + tensor->nbytes()) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  });
}

// Gives memory that is reserved and not in use back to the device.
int limn_memory_give_back() {
  return guarded([] {
    if (has_accelerator()) at::accelerator::emptyCache();
  });
}

// Gradients of outputs, weighted by one gradient each, with respect to inputs. An input that no
// output depends on gets an undefined tensor.
int limn_gradients(
    at::Tensor* const* outputs, at::Tensor* const* weights, size_t output_count,
    at::Tensor* const* inputs, size_t input_count, at::Tensor** gradients) {
  return guarded([&] {
    for (size_t at = 0; at < output_count; ++at) {
      TORCH_CHECK(outputs[at]->requires_grad(), "output ", at, " depends on nothing");
    }
    for (size_t at = 0; at < input_count; ++at) {
      TORCH_CHECK(inputs[at]->requires_grad(), "input ", at, " takes no gradient");
    }
    auto found = torch::autograd::grad(
        collect(outputs, output_count), collect(inputs, input_count),
        collect(weights, output_count), /*retain_graph=*/false, /*create_graph=*/false,
        /*allow_unused=*/true);
    for (size_t at = 0; at < input_count; ++at) gradients[at] = new at::Tensor(found[at]);
  });
}

// One step of AdamW on parameters in place. steps are tensors of one number each, already counted
// up for this step.
int limn_adamw(
    at::Tensor* const* parameters, at::Tensor* const* gradients, at::Tensor* const* means,
    at::Tensor* const* squares, at::Tensor* const* steps, size_t count, double rate, double beta1,
    double beta2, double decay, double epsilon) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto own = collect(parameters, count);
    at::_fused_adamw_(
        own, collect(gradients, count), collect(means, count), collect(squares, count),
        /*max_exp_avg_sqs=*/{}, collect(steps, count), rate, beta1, beta2, decay, epsilon,
        /*amsgrad=*/false, /*maximize=*/false);
  });
}

// `input · weightᵀ + bias`, as a linear layer has them: `[rows, inputs]`, `[outputs, inputs]` and, if
// it is no null pointer, `[outputs]`.
int limn_linear(
    const at::Tensor* input, const at::Tensor* weight, const at::Tensor* bias,
    at::Tensor** found) {
  return guarded([&] {
    if (!is_few(*input, *weight)) {
      *found = new at::Tensor(at::linear(*input, *weight, bias ? *bias : at::Tensor()));
      return;
    }
    const bool is_single = weight->scalar_type() == at::kFloat;
    at::Tensor product =
        is_single ? few_rows<float>(*input, *weight) : few_rows<limn::Bf16>(*input, *weight);
    if (bias) product.add_(*bias);
    *found = new at::Tensor(product.to(weight->scalar_type()));
  });
}

// Which kernels may be used: whether results have to be the same every time, whether f32 products
// may be rounded to TF32, and which of the attention backends are on.
int limn_kernels(int deterministic, int tf32, int cudnn, int flash, int efficient, int math) {
  return guarded([&] {
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(deterministic != 0, /*warn_only=*/false);
    context.setDeterministicCuDNN(deterministic != 0);
    context.setFloat32MatmulPrecision(tf32 != 0 ? "high" : "highest");
    context.setSDPUseCuDNN(cudnn != 0);
    context.setSDPUseFlash(flash != 0);
    context.setSDPUseMemEfficient(efficient != 0);
    context.setSDPUseMath(math != 0);
  });
}

// The backend that attention of these shapes would use: 0 math, 1 flash, 2 efficient, 3 cuDNN.
int limn_attention_backend(
    const at::Tensor* query, const at::Tensor* key, const at::Tensor* value, int64_t* backend) {
  return guarded([&] {
    *backend = at::_fused_sdp_choice(
        *query, *key, *value, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true,
        /*scale=*/std::nullopt, /*enable_gqa=*/query->size(1) != key->size(1));
  });
}

// Causal attention of batch × heads × length × head size, with what its way back needs: what was
// found, the logarithms of the sums of exponentials, and two tensors of the generator's state that
// are undefined on the processor. backend is as in limn_attention_backend.
int limn_attention_forward(
    const at::Tensor* query, const at::Tensor* key, const at::Tensor* value, at::Tensor** saved,
    int64_t* backend) {
  return guarded([&] {
    at::Tensor kept[4];
    if (query->is_cpu()) {
      *backend = FLASH;
      std::tie(kept[0], kept[1]) = at::_scaled_dot_product_flash_attention_for_cpu(
          *query, *key, *value, /*dropout_p=*/0.0, /*is_causal=*/true);
    } else {
      *backend = at::_fused_sdp_choice(
          *query, *key, *value, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true,
          /*scale=*/std::nullopt, /*enable_gqa=*/query->size(1) != key->size(1));
      if (*backend == CUDNN) {
        auto found = at::_scaled_dot_product_cudnn_attention(
            *query, *key, *value, /*attn_bias=*/{}, /*compute_log_sumexp=*/true,
            /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false);
        kept[0] = std::get<0>(found);
        kept[1] = std::get<1>(found);
        kept[2] = std::get<6>(found);
        kept[3] = std::get<7>(found);
      } else if (*backend == FLASH) {
        auto found = at::_scaled_dot_product_flash_attention(
            *query, *key, *value, /*dropout_p=*/0.0, /*is_causal=*/true,
            /*return_debug_mask=*/false);
        kept[0] = std::get<0>(found);
        kept[1] = std::get<1>(found);
        kept[2] = std::get<6>(found);
        kept[3] = std::get<7>(found);
      } else {
        TORCH_CHECK(false, "attention of these shapes keeps nothing for its way back");
      }
    }
    for (size_t at = 0; at < 4; ++at) saved[at] = new at::Tensor(kept[at]);
  });
}

// Attention over a part of the keys, with the logarithms of the sums of exponentials by which parts
// are joined (batch × heads × rows). The way back is not wanted. On the processor there are as many
// heads of keys as of queries, which may lie in the same memory.
int limn_attention_part(
    const at::Tensor* query, const at::Tensor* key, const at::Tensor* value, int is_causal,
    at::Tensor** found, at::Tensor** sums) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    const bool causal = is_causal != 0;
    at::Tensor kept[2];
    if (query->is_cpu()) {
      std::tie(kept[0], kept[1]) = at::_scaled_dot_product_flash_attention_for_cpu(
          *query, *key, *value, /*dropout_p=*/0.0, causal);
    } else {
      const bool shared = query->size(1) != key->size(1);
      const int64_t backend = at::_fused_sdp_choice(
          *query, *key, *value, /*attn_mask=*/{}, /*dropout_p=*/0.0, causal,
          /*scale=*/std::nullopt, shared);
      if (backend == CUDNN) {
        auto all = at::_scaled_dot_product_cudnn_attention(
            *query, *key, *value, /*attn_bias=*/{}, /*compute_log_sumexp=*/true,
            /*dropout_p=*/0.0, causal, /*return_debug_mask=*/false);
        kept[0] = std::get<0>(all);
        kept[1] = std::get<1>(all);
      } else if (backend == FLASH) {
        auto all = at::_scaled_dot_product_flash_attention(
            *query, *key, *value, /*dropout_p=*/0.0, causal, /*return_debug_mask=*/false);
        kept[0] = std::get<0>(all);
        kept[1] = std::get<1>(all);
      } else {
        // In single precision. Its sums lie in rows that are longer than there are queries.
        const auto wide = [&](const at::Tensor& of) {
          return shared ? of.repeat_interleave(query->size(1) / of.size(1), 1) : of;
        };
        auto all = at::_scaled_dot_product_efficient_attention(
            *query, wide(*key), wide(*value), /*attn_bias=*/{}, /*compute_log_sumexp=*/true,
            /*dropout_p=*/0.0, causal);
        kept[0] = std::get<0>(all);
        kept[1] = std::get<1>(all).narrow(2, 0, query->size(2));
      }
    }
    *found = new at::Tensor(kept[0]);
    *sums = new at::Tensor(kept[1]);
  });
}

// Gradients of queries, keys and values from that of what was found.
int limn_attention_backward(
    const at::Tensor* gradient, const at::Tensor* query, const at::Tensor* key,
    const at::Tensor* value, at::Tensor* const* saved, int64_t backend, at::Tensor** gradients) {
  return guarded([&] {
    std::tuple<at::Tensor, at::Tensor, at::Tensor> found;
    const at::Tensor none;
    if (query->is_cpu()) {
      found = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          *gradient, *query, *key, *value, *saved[0], *saved[1], /*dropout_p=*/0.0,
          /*is_causal=*/true);
    } else if (backend == CUDNN) {
      found = at::_scaled_dot_product_cudnn_attention_backward(
          *gradient, *query, *key, *value, *saved[0], *saved[1], *saved[2], *saved[3],
          /*attn_bias=*/none, /*cum_seq_q=*/none, /*cum_seq_k=*/none, query->size(2),
          key->size(2), /*dropout_p=*/0.0, /*is_causal=*/true);
    } else {
      found = at::_scaled_dot_product_flash_attention_backward(
          *gradient, *query, *key, *value, *saved[0], *saved[1], /*cum_seq_q=*/none,
          /*cum_seq_k=*/none, query->size(2), key->size(2), /*dropout_p=*/0.0,
          /*is_causal=*/true, *saved[2], *saved[3]);
    }
    gradients[0] = new at::Tensor(std::get<0>(found));
    gradients[1] = new at::Tensor(std::get<1>(found));
    gradients[2] = new at::Tensor(std::get<2>(found));
  });
}

}  // extern "C"
