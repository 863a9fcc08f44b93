// While a reply is written, each weight is read for one row, or for those of a few texts. What that
// costs is the reading, which the general product of libtorch does at a third of what memory gives.
// Here every weight is read once, in the order in which they lie, for all rows at once.

#include "few_rows.hpp"

#include <algorithm>
#include <cstring>

namespace limn {
namespace {

#define LIMN_INLINE inline __attribute__((always_inline))

// What a register of so many bytes holds.
template <int BYTES>
struct Register {
  typedef float Lanes __attribute__((vector_size(BYTES)));
  typedef float Loose __attribute__((vector_size(BYTES), aligned(4), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(BYTES)));
  typedef uint32_t Pairs __attribute__((vector_size(BYTES), aligned(2), may_alias));
  static constexpr int64_t COUNT = BYTES / 4;
  // Sums that there are registers for, beside what is added to them.
  static constexpr int SUMS = BYTES == 64 ? 24 : 12;
  // Rows at a time: for later ones the weights are in the cache.
  static constexpr int ROWS = BYTES == 64 ? 8 : 4;
};

// Numbers of one kind of weight that are taken at once: as many as a register holds, or in bf16 twice
// as many. Of those a register holds pairs, and the first of each is a number in single precision when
// it is shifted, the second when the first is masked out.
template <int BYTES, typename Weight>
constexpr int64_t TAKEN = Register<BYTES>::COUNT * (sizeof(float) / sizeof(Weight));

LIMN_INLINE float one(float number) { return number; }

LIMN_INLINE float one(Bf16 number) {
  const uint32_t bits = static_cast<uint32_t>(number.bits) << 16;
  float single;
  std::memcpy(&single, &bits, sizeof single);
  return single;
}

// The sums of products of what is taken, for rows that lie `inputs` apart.
template <int BYTES, int ROWS, int OUTPUTS>
LIMN_INLINE void add(
    typename Register<BYTES>::Lanes (&sums)[ROWS][OUTPUTS], int output, const float* input,
    const float* weights, int64_t inputs) {
  using Loose = typename Register<BYTES>::Loose;
  const typename Register<BYTES>::Lanes weight = *reinterpret_cast<const Loose*>(weights);
  for (int row = 0; row < ROWS; ++row) {
    sums[row][output] += *reinterpret_cast<const Loose*>(input + row * inputs) * weight;
  }
}

template <int BYTES, int ROWS, int OUTPUTS>
LIMN_INLINE void add(
    typename Register<BYTES>::Lanes (&sums)[ROWS][OUTPUTS], int output, const float* input,
    const Bf16* weights, int64_t inputs) {
  using Loose = typename Register<BYTES>::Loose;
  using Bits = typename Register<BYTES>::Bits;
  const Bits pairs = *reinterpret_cast<const typename Register<BYTES>::Pairs*>(weights);
  const Bits first_bits = pairs << 16, second_bits = pairs & 0xffff0000u;
  typename Register<BYTES>::Lanes first, second;
  std::memcpy(&first, &first_bits, sizeof first);
  std::memcpy(&second, &second_bits, sizeof second);
  for (int row = 0; row < ROWS; ++row) {
    const float* at = input + row * inputs;
    sums[row][output] += *reinterpret_cast<const Loose*>(at) * first;
    sums[row][output] +=
        *reinterpret_cast<const Loose*>(at + Register<BYTES>::COUNT) * second;
  }
}

LIMN_INLINE float total(const Register<32>::Lanes& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
      ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

LIMN_INLINE float total(const Register<64>::Lanes& lanes) {
  Register<32>::Lanes halves[2];
  std::memcpy(halves, &lanes, sizeof halves);
  return total(Register<32>::Lanes(halves[0] + halves[1]));
}

// So many rows with so many outputs: as many sums as there are registers for.
template <int BYTES, int ROWS, int OUTPUTS, typename Weight>
LIMN_INLINE void tile(
    const float* input, const Weight* weights, float* found, int64_t inputs, int64_t outputs) {
  typename Register<BYTES>::Lanes sums[ROWS][OUTPUTS] = {};
  int64_t at = 0;
  for (; at + TAKEN<BYTES, Weight> <= inputs; at += TAKEN<BYTES, Weight>) {
    for (int output = 0; output < OUTPUTS; ++output) {
      // Of short rows no processor sees by itself what comes next.
      __builtin_prefetch(weights + (OUTPUTS + output) * inputs + at);
      add<BYTES>(sums, output, input + at, weights + output * inputs + at, inputs);
    }
  }
  for (int row = 0; row < ROWS; ++row) {
    for (int output = 0; output < OUTPUTS; ++output) {
      float sum = total(sums[row][output]);
      for (int64_t rest = at; rest < inputs; ++rest) {
        sum += input[row * inputs + rest] * one(weights[output * inputs + rest]);
      }
      found[row * outputs + output] = sum;
    }
  }
}

// So many rows with some of the outputs: the fewer rows, the more outputs at once.
template <int BYTES, int ROWS, typename Weight>
LIMN_INLINE void strip(
    const float* input, const Weight* weights, float* found, int64_t inputs, int64_t outputs,
    int64_t begin, int64_t end) {
  constexpr int OUTPUTS = std::min(8, Register<BYTES>::SUMS / ROWS);
  for (; begin + OUTPUTS <= end; begin += OUTPUTS) {
    tile<BYTES, ROWS, OUTPUTS>(input, weights + begin * inputs, found + begin, inputs, outputs);
  }
  for (; begin < end; ++begin) {
    tile<BYTES, ROWS, 1>(input, weights + begin * inputs, found + begin, inputs, outputs);
  }
}

// The last rows, of which there are at most so many.
template <int BYTES, int ROWS, typename Weight>
LIMN_INLINE void last(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  if constexpr (ROWS > 0) {
    if (rows == ROWS) {
      return strip<BYTES, ROWS>(input, weights, found, inputs, outputs, begin, end);
    }
    last<BYTES, ROWS - 1>(input, weights, found, rows, inputs, outputs, begin, end);
  }
}

template <int BYTES, typename Weight>
LIMN_INLINE void product(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  constexpr int ROWS = Register<BYTES>::ROWS;
  for (; rows > ROWS; rows -= ROWS, input += ROWS * inputs, found += ROWS * outputs) {
    strip<BYTES, ROWS>(input, weights, found, inputs, outputs, begin, end);
  }
  last<BYTES, ROWS>(input, weights, found, rows, inputs, outputs, begin, end);
}

#if defined(__x86_64__)
template <typename Weight>
__attribute__((target("avx2,fma"))) void product_avx2(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  product<32>(input, weights, found, rows, inputs, outputs, begin, end);
}

template <typename Weight>
__attribute__((target("avx512f"))) void product_avx512(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  product<64>(input, weights, found, rows, inputs, outputs, begin, end);
}
#endif

// The bytes of the registers that are used.
int register_bytes() {
#if defined(__x86_64__)
  static const bool has_avx512 = __builtin_cpu_supports("avx512f");
  if (has_avx512) return 64;
#endif
  return 32;
}

}  // namespace

void arrange(float* input, int64_t rows, int64_t inputs) {
  const int64_t count = register_bytes() / 4;
  float pairs[32];
  for (int64_t row = 0; row < rows; ++row, input += inputs) {
    for (int64_t at = 0; at + 2 * count <= inputs; at += 2 * count) {
      std::memcpy(pairs, input + at, 2 * count * sizeof(float));
      for (int64_t pair = 0; pair < count; ++pair) {
        input[at + pair] = pairs[2 * pair];
        input[at + count + pair] = pairs[2 * pair + 1];
      }
    }
  }
}

template <typename Weight>
void few_rows(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
#if defined(__x86_64__)
  if (register_bytes() == 64) {
    return product_avx512(input, weights, found, rows, inputs, outputs, begin, end);
  }
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2) return product_avx2(input, weights, found, rows, inputs, outputs, begin, end);
#endif
  product<32>(input, weights, found, rows, inputs, outputs, begin, end);
}

template void few_rows(
    const float*, const float*, float*, int64_t, int64_t, int64_t, int64_t, int64_t);
template void few_rows(
    const float*, const Bf16*, float*, int64_t, int64_t, int64_t, int64_t, int64_t);

}  // namespace limn
