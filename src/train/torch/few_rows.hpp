// Products of a few rows with the weights of a linear layer, on the processor.

#pragma once

#include <cstdint>

namespace limn {

// The most rows that are multiplied this way.
constexpr int64_t FEW_ROWS = 8;

// A number in bf16: the upper half of one in single precision.
struct Bf16 {
  uint16_t bits;
};

// Puts the numbers of `input` [rows, inputs] into the order in which `few_rows` looks at them for
// weights in bf16.
void arrange(float* input, int64_t rows, int64_t inputs);

// Outputs `begin` to `end` of `input · weightsᵀ`, summed in single precision, written into `found`. All
// are whole and in rows: `input` [rows, inputs], `weights` [outputs, inputs] of `float` or, for what
// is arranged, `Bf16`, `found` [rows, outputs].
template <typename Weight>
void few_rows(
    const float* input, const Weight* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end);

}  // namespace limn
