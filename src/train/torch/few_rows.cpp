// While a reply is written, each weight is read for one row, or for those of a few texts. What that
// costs is the reading, which the general product of libtorch does at a third of what memory gives.
// Here every weight is read once, in the order in which they lie, for all rows at once.

#include "few_rows.hpp"

namespace limn {
namespace {

typedef float Lanes __attribute__((vector_size(32)));
typedef float Loose __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int64_t WIDTH = 8;

#define LIMN_INLINE inline __attribute__((always_inline))

// So many rows with so many outputs: as many sums as there are registers for.
template <int ROWS, int OUTPUTS>
LIMN_INLINE void tile(
    const float* input, const float* weights, float* found, int64_t inputs, int64_t outputs) {
  Lanes sums[ROWS][OUTPUTS] = {};
  int64_t at = 0;
  for (; at + WIDTH <= inputs; at += WIDTH) {
    for (int output = 0; output < OUTPUTS; ++output) {
      const Lanes weight = *reinterpret_cast<const Loose*>(weights + output * inputs + at);
      for (int row = 0; row < ROWS; ++row) {
        sums[row][output] += *reinterpret_cast<const Loose*>(input + row * inputs + at) * weight;
      }
    }
  }
  for (int row = 0; row < ROWS; ++row) {
    for (int output = 0; output < OUTPUTS; ++output) {
      const Lanes& lanes = sums[row][output];
      float sum = ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
          ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
      for (int64_t rest = at; rest < inputs; ++rest) {
        sum += input[row * inputs + rest] * weights[output * inputs + rest];
      }
      found[row * outputs + output] = sum;
    }
  }
}

// All rows with so many outputs, four rows at a time: for the later ones the weights are in the cache.
template <int OUTPUTS>
LIMN_INLINE void strip(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs) {
  for (; rows >= 4; rows -= 4, input += 4 * inputs, found += 4 * outputs) {
    tile<4, OUTPUTS>(input, weights, found, inputs, outputs);
  }
  switch (rows) {
    case 1: return tile<1, OUTPUTS>(input, weights, found, inputs, outputs);
    case 2: return tile<2, OUTPUTS>(input, weights, found, inputs, outputs);
    case 3: return tile<3, OUTPUTS>(input, weights, found, inputs, outputs);
    default: return;
  }
}

template <int OUTPUTS>
LIMN_INLINE void strips(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  for (; begin + OUTPUTS <= end; begin += OUTPUTS) {
    strip<OUTPUTS>(input, weights + begin * inputs, found + begin, rows, inputs, outputs);
  }
  for (; begin < end; ++begin) {
    strip<1>(input, weights + begin * inputs, found + begin, rows, inputs, outputs);
  }
}

// The fewer rows, the more outputs at once.
LIMN_INLINE void product(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  switch (rows) {
    case 1: return strips<8>(input, weights, found, rows, inputs, outputs, begin, end);
    case 2: return strips<6>(input, weights, found, rows, inputs, outputs, begin, end);
    case 3: return strips<4>(input, weights, found, rows, inputs, outputs, begin, end);
    default: return strips<3>(input, weights, found, rows, inputs, outputs, begin, end);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void product_avx2(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
  product(input, weights, found, rows, inputs, outputs, begin, end);
}
#endif

}  // namespace

void few_rows(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end) {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2) return product_avx2(input, weights, found, rows, inputs, outputs, begin, end);
#endif
  product(input, weights, found, rows, inputs, outputs, begin, end);
}

}  // namespace limn
