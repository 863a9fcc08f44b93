// Parts of a layer whose way back keeps less than autograd would: what one pass over memory gives
// again, nothing beside the products of matrices, does not wait for it.

#include <optional>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guard.hpp"

using limn::guarded;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// The end of a gated MLP: silu(gate) · up through a linear layer and the adapter beside it, if there
// is one. Autograd keeps silu(gate) and the product, too, which is half of what an MLP leaves.
class Gated : public torch::autograd::Function<Gated> {
 public:
  // gate and up: [rows, inner]; weight: [outputs, inner]; down: [rank, inner]; rise: [outputs, rank].
  static at::Tensor forward(
      AutogradContext* context, const at::Tensor& gate, const at::Tensor& up,
      const at::Tensor& weight, const std::optional<at::Tensor>& down,
      const std::optional<at::Tensor>& rise, double scale) {
    const at::Tensor product = at::silu(gate).mul_(up);
    at::Tensor found = at::linear(product, weight), thin;
    if (down) {
      thin = at::linear(product, *down);
      found.add_(at::linear(thin, *rise).mul_(scale));
    }
    const auto or_none = [](const std::optional<at::Tensor>& of) { return of ? *of : at::Tensor(); };
    context->save_for_backward({gate, up, weight, or_none(down), or_none(rise), thin});
    context->saved_data["scale"] = scale;
    return found;
  }

  static variable_list backward(AutogradContext* context, variable_list back) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], &weight = saved[2], &down = saved[3],
                     &rise = saved[4], &thin = saved[5];
    const at::Tensor& to_found = back[0];
    const at::Tensor silu = at::silu(gate);
    const bool is_weight_trained = weight.requires_grad();
    at::Tensor product, to_weight, to_down, to_rise;
    if (is_weight_trained || down.defined()) product = silu * up;
    if (is_weight_trained) to_weight = to_found.t().mm(product);
    at::Tensor to_product = to_found.mm(weight);
    if (down.defined()) {
      const at::Tensor to_wide = to_found * context->saved_data["scale"].toDouble();
      const at::Tensor to_thin = to_wide.mm(rise);
      if (rise.requires_grad()) to_rise = to_wide.t().mm(thin);
      if (down.requires_grad()) to_down = to_thin.t().mm(product);
      to_product.add_(to_thin.mm(down));
    }
    product.reset();
    const at::Tensor to_up = to_product * silu;
    const at::Tensor to_gate = at::silu_backward(to_product.mul_(up), gate);
    return {to_gate, to_up, to_weight, to_down, to_rise, at::Tensor()};
  }
};

// A root mean square norm, rounded as transformers does it. Autograd keeps the stream in single
// precision, if it is not so already, and what was normalised where the weight is trained.
class Norm : public torch::autograd::Function<Norm> {
 public:
  // stream: [.., width]; weight: [width].
  static at::Tensor forward(
      AutogradContext* context, const at::Tensor& stream, const at::Tensor& weight, double eps) {
    at::Tensor scale;
    const at::Tensor found = compute(stream, weight, eps, &scale);
    context->save_for_backward({stream, weight, scale});
    return found;
  }

  static at::Tensor compute(
      const at::Tensor& stream, const at::Tensor& weight, double eps, at::Tensor* scale) {
    const at::Tensor wide = stream.to(at::kFloat);
    *scale = wide.square().mean(-1, /*keepdim=*/true).add_(eps).rsqrt_();
    return (wide * *scale).to(stream.scalar_type()).mul_(weight);
  }

  static variable_list backward(AutogradContext* context, variable_list back) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &stream = saved[0], &weight = saved[1], &scale = saved[2];
    const at::Tensor& to_found = back[0];
    at::Tensor normal = stream.to(at::kFloat) * scale;
    at::Tensor to_weight;
    if (weight.requires_grad()) {
      to_weight = (to_found * normal.to(stream.scalar_type())).sum_to_size(weight.sizes());
    }
    // With n the normalised stream and g its gradient, (g - n · mean(g · n)) · scale.
    at::Tensor to_normal = (to_found * weight).to(at::kFloat);
    const at::Tensor along = (to_normal * normal).mean(-1, /*keepdim=*/true);
    const at::Tensor to_wide = to_normal.sub_(normal.mul_(along)).mul_(scale);
    return {to_wide.to(stream.scalar_type()), to_weight, at::Tensor()};
  }
};

}  // namespace

extern "C" {

// The stream, normalised along its last dimension and multiplied by the weight.
int limn_norm(const at::Tensor* stream, const at::Tensor* weight, double eps, at::Tensor** found) {
  return guarded([&] {
    at::Tensor scale;
    *found = new at::Tensor(
        c10::GradMode::is_enabled() ? Norm::apply(*stream, *weight, eps)
                                    : Norm::compute(*stream, *weight, eps, &scale));
  });
}

// What silu(gate) · up comes to behind a linear layer, [rows, outputs]. down and rise are null
// pointers where there is no adapter.
int limn_gated(
    const at::Tensor* gate, const at::Tensor* up, const at::Tensor* weight, const at::Tensor* down,
    const at::Tensor* rise, double scale, at::Tensor** found) {
  return guarded([&] {
    const auto optional = [](const at::Tensor* of) {
      return of ? std::optional<at::Tensor>(*of) : std::nullopt;
    };
    *found = new at::Tensor(
        Gated::apply(*gate, *up, *weight, optional(down), optional(rise), scale));
  });
}

}  // extern "C"
