// Products of a few rows with the weights of a linear layer, on the processor.

#pragma once

#include <cstdint>

namespace limn {

// The most rows that are multiplied this way.
constexpr int64_t FEW_ROWS = 8;

// Outputs `begin` to `end` of `input · weightsᵀ` in single precision, written into `found`. All are
// whole and in rows: `input` [rows, inputs], `weights` [outputs, inputs], `found` [rows, outputs].
void few_rows(
    const float* input, const float* weights, float* found, int64_t rows, int64_t inputs,
    int64_t outputs, int64_t begin, int64_t end);

}  // namespace limn
