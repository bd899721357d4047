#include "sdrbee/lora/lora_delta.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"

namespace sdrbee::lora {
namespace {

/// A module with its file: what all functions here read from.
struct Parts {
  const LoraFile& file;
  const LoraModule& module;

  bool has(Role role) const { return module.has(role); }
  Tensor read(Role role) const { return file.read(module, role); }
  std::vector<int64_t> shape(Role role) const { return file.shape(module, role); }

  [[noreturn]] void fail(Role role, const std::string& expected) const {
    const std::string base = file.likely_base();
    throw CheckpointError(message("[", file.path().string(), "] tensor '", module.tensors.at(role),
                                  "': expected ", expected, " but got shape ",
                                  shape_text(shape(role)),
                                  base.empty() ? "" : "; the file looks made for ", base));
  }

  /// Both of a pair must be there.
  void need(Role one, Role other) const {
    if (has(one) != has(other))
      throw CheckpointError(message("[", file.path().string(), "] '", module.name,
                                    "': expected both factors of a product but got only '",
                                    module.tensors.at(has(one) ? one : other), "'"));
  }
};

int64_t product(const std::vector<int64_t>& shape) { return c10::multiply_integers(shape); }

/// Rows and columns of a tensor that is taken as a matrix.
int64_t rows(const std::vector<int64_t>& shape) { return shape.empty() ? 1 : shape.front(); }
int64_t columns(const std::vector<int64_t>& shape) {
  return rows(shape) == 0 ? 0 : product(shape) / rows(shape);
}

Tensor matrix(const Tensor& tensor) { return tensor.reshape({tensor.size(0), -1}); }

/// Values of the product of two factors [out, rank] x [rank, in], of which `core` is the Tucker
/// core if there is one; 0 where the shapes don't fit each other.
int64_t product_size(const Parts& parts, Role a, Role b, Role core) {
  const auto left = parts.shape(a);
  const auto right = parts.shape(b);
  if (!parts.has(core)) return columns(left) == rows(right) ? rows(left) * columns(right) : 0;
  const auto middle = parts.shape(core);
  if (middle.size() < 3) return 0;
  // LoCon's `up` has its rank behind, LoHa's and LoKr's first factors have it in front.
  const bool behind = a == Role::Up;
  const bool fits = (behind ? columns(left) : rows(left)) == middle[0] && rows(right) == middle[1];
  return fits ? (behind ? rows(left) : columns(left)) * columns(right) * product(middle) /
                    (middle[0] * middle[1])
              : 0;
}

/// w[p, r, ...] = sum over i, j of core[i, j, ...] a[i, p] b[j, r]
Tensor tucker(const Tensor& core, const Tensor& a, const Tensor& b) {
  return at::einsum("ij...,ip,jr->pr...", {core, a, b});
}

int64_t loha_size(const Parts& parts) {
  parts.need(Role::LohaW1A, Role::LohaW1B);
  parts.need(Role::LohaW1A, Role::LohaW2A);
  parts.need(Role::LohaW2A, Role::LohaW2B);
  parts.need(Role::LohaT1, Role::LohaT2);
  const int64_t one = product_size(parts, Role::LohaW1A, Role::LohaW1B, Role::LohaT1);
  return one == product_size(parts, Role::LohaW2A, Role::LohaW2B, Role::LohaT2) ? one : 0;
}

int64_t lokr_size(const Parts& parts) {
  const auto factor = [&](Role whole, Role a, Role b, Role core) {
    if (parts.has(whole)) return product(parts.shape(whole));
    parts.need(a, b);
    if (!parts.has(a))
      throw CheckpointError(
          message("[", parts.file.path().string(), "] '", parts.module.name,
                  "': one of the two matrices of a Kronecker product is missing"));
    return product_size(parts, a, b, core);
  };
  return factor(Role::LokrW1, Role::LokrW1A, Role::LokrW1B, Role::Mid) *
         factor(Role::LokrW2, Role::LokrW2A, Role::LokrW2B, Role::LokrT2);
}

bool is_loha(const Parts& parts) { return parts.has(Role::LohaW1A) || parts.has(Role::LohaW2A); }
bool is_lokr(const Parts& parts) {
  return parts.has(Role::LokrW1) || parts.has(Role::LokrW1A) || parts.has(Role::LokrW2) ||
         parts.has(Role::LokrW2A);
}
bool is_lora(const Parts& parts) { return parts.has(Role::Down) || parts.has(Role::Up); }

Tensor loha_delta(const Parts& parts) {
  const Tensor w1b = parts.read(Role::LohaW1B);
  const double scale = parts.file.scale(parts.module, static_cast<double>(w1b.size(0)));
  const auto one = [&](Role a, Role b, Role core) {
    return parts.has(core) ? tucker(parts.read(core), parts.read(a), parts.read(b))
                           : at::matmul(parts.read(a), matrix(parts.read(b)));
  };
  return one(Role::LohaW1A, Role::LohaW1B, Role::LohaT1)
      .mul_(one(Role::LohaW2A, Role::LohaW2B, Role::LohaT2))
      .mul_(scale);
}

Tensor lokr_delta(const Parts& parts) {
  Tensor w1 = parts.has(Role::LokrW1)
                  ? parts.read(Role::LokrW1)
                  : at::matmul(parts.read(Role::LokrW1A), parts.read(Role::LokrW1B));
  Tensor w2;
  if (parts.has(Role::LokrW2))
    w2 = parts.read(Role::LokrW2);
  else if (parts.has(Role::LokrT2))
    w2 = tucker(parts.read(Role::LokrT2), parts.read(Role::LokrW2A), parts.read(Role::LokrW2B));
  else
    w2 = at::matmul(parts.read(Role::LokrW2A), matrix(parts.read(Role::LokrW2B)));
  while (w1.dim() < w2.dim()) w1 = w1.unsqueeze(-1);
  const Tensor whole = at::kron(w1.contiguous(), w2.contiguous());
  // Where both matrices are whole there is no rank, and alpha has no meaning.
  if (parts.has(Role::LokrW1) && parts.has(Role::LokrW2)) return whole;
  const Role factor = parts.has(Role::LokrW2B) ? Role::LokrW2B : Role::LokrW1B;
  return whole.mul(parts.file.scale(parts.module, static_cast<double>(rows(parts.shape(factor)))));
}

Tensor lora_delta(const Parts& parts) {
  const Tensor down = parts.read(Role::Down);
  const Tensor up = matrix(parts.read(Role::Up));
  const double scale = parts.file.scale(parts.module, static_cast<double>(down.size(0)));
  if (parts.has(Role::Mid)) return tucker(parts.read(Role::Mid), up.t(), matrix(down)).mul_(scale);
  return at::matmul(up, matrix(down)).mul_(scale);
}

/// Those of a module's rows that belong to the weight.
Tensor chosen(const Tensor& all, const Rows& rows) {
  if (rows.halves_swapped) {
    const std::vector<Tensor> halves = all.chunk(2);
    return at::cat({halves[1], halves[0]});
  }
  return rows.whole > 0 ? all.narrow(0, rows.begin, rows.count) : all;
}

/// The difference at strength 1, without DoRA, of the weight's shape.
Tensor plain_delta(const Parts& parts, const Tensor& weight, const Rows& rows_of_weight) {
  Tensor delta;
  if (is_loha(parts))
    delta = loha_delta(parts);
  else if (is_lokr(parts))
    delta = lokr_delta(parts);
  else if (is_lora(parts))
    delta = lora_delta(parts);
  else if (parts.has(Role::Diff))
    delta = parts.read(Role::Diff);
  else
    return at::zeros_like(weight);
  if (parts.has(Role::Scalar)) delta = delta * parts.read(Role::Scalar);
  std::vector<int64_t> shape = weight.sizes().vec();
  if (rows_of_weight.whole > 0) shape.front() = rows_of_weight.whole;
  return chosen(delta.reshape(shape), rows_of_weight);
}

/// `weight`, the vector of each output (`axis` 0) or input (1) taken to the length in `magnitudes`.
Tensor with_magnitudes(const Tensor& weight, const Tensor& magnitudes, int64_t axis) {
  std::vector<int64_t> others;
  for (int64_t i = 0; i < weight.dim(); ++i)
    if (i != axis) others.push_back(i);
  const Tensor lengths = at::linalg_vector_norm(weight, 2, others, /*keepdim=*/true);
  constexpr double kEpsilon = std::numeric_limits<float>::epsilon();  // as in LyCORIS
  return weight * (magnitudes.reshape(lengths.sizes()) / (lengths + kEpsilon));
}

/// Which vectors the norms of LyCORIS are of; those of PEFT are of the outputs always.
int64_t dora_axis(const Parts& parts, int64_t outputs) {
  return rows(parts.shape(Role::DoraScale)) == outputs ? 0 : 1;
}

int64_t delta_size(const Parts& parts) {
  if (is_loha(parts)) return loha_size(parts);
  if (is_lokr(parts)) return lokr_size(parts);
  if (parts.has(Role::Diff)) return product(parts.shape(Role::Diff));
  if (parts.has(Role::Value)) return product(parts.shape(Role::Value));
  parts.need(Role::Down, Role::Up);
  return product_size(parts, Role::Up, Role::Down, Role::Mid);
}

/// The tensor that messages are about.
Role shown(const Parts& parts) {
  return parts.has(Role::Up) ? Role::Up : parts.module.tensors.begin()->first;
}

}  // namespace

void check_shapes(const LoraFile& file, const LoraModule& module, at::IntArrayRef weight,
                  size_t weights) {
  const Parts parts{file, module};
  if (parts.has(Role::Alpha) && product(parts.shape(Role::Alpha)) != 1)
    parts.fail(Role::Alpha, "one number");
  if (parts.has(Role::Scalar) && product(parts.shape(Role::Scalar)) != 1)
    parts.fail(Role::Scalar, "one number");
  const int64_t size = c10::multiply_integers(weight);
  const bool factors = is_loha(parts) || is_lokr(parts) || is_lora(parts) ||
                       parts.has(Role::Diff) || parts.has(Role::Value);
  if (is_lora(parts) && parts.has(Role::Down) && weight.size() == 2 &&
      columns(parts.shape(Role::Down)) != weight.back())
    parts.fail(Role::Down,
               message(weight.back(), " input channels for a weight ", shape_text(weight)));
  if (factors && delta_size(parts) != size)
    parts.fail(shown(parts), "factors of a difference of a weight " + shape_text(weight));
  // Factors of as many values in another order would make rows of something else.
  if (is_lora(parts) && rows(parts.shape(Role::Up)) != weight.front())
    parts.fail(Role::Up, message(weight.front(), " rows for a weight ", shape_text(weight)));
  for (const Role role : {Role::Magnitude, Role::DoraScale}) {
    if (!parts.has(role)) continue;
    const int64_t count = product(parts.shape(role));
    const int64_t axis = role == Role::Magnitude ? 0 : dora_axis(parts, weight.front());
    if (axis == 1 && weights > 1)
      parts.fail(role,
                 message("norms of outputs, as the model has ", weights, " layers in its place,"));
    if (weight.size() < 2 || count != weight[static_cast<size_t>(axis)])
      parts.fail(role, message("a norm for each row of a weight ", shape_text(weight)));
  }
}

void check_bias_shape(const LoraFile& file, const LoraModule& module, at::IntArrayRef bias) {
  const Parts parts{file, module};
  const Role role = parts.has(Role::DiffBias) ? Role::DiffBias : Role::UpBias;
  if (product(parts.shape(role)) != c10::multiply_integers(bias))
    parts.fail(role, "the shape " + shape_text(bias) + " of the bias");
}

std::optional<LowRank> low_rank(const LoraFile& file, const LoraModule& module, double strength,
                                const Rows& rows) {
  const Parts parts{file, module};
  const bool plain = is_lora(parts) && !parts.has(Role::Mid) && !parts.has(Role::Magnitude) &&
                     !parts.has(Role::DoraScale) && !parts.has(Role::Scalar) && !is_loha(parts) &&
                     !is_lokr(parts);
  if (!plain) return std::nullopt;
  const Tensor down = matrix(parts.read(Role::Down));
  const double scale = file.scale(module, static_cast<double>(down.size(0))) * strength;
  return LowRank{chosen(matrix(parts.read(Role::Up)), rows) * scale, down};
}

Tensor weight_delta(const LoraFile& file, const LoraModule& module, const Tensor& weight,
                    double strength, const Rows& rows) {
  const Parts parts{file, module};
  if (parts.has(Role::Value))
    return (parts.read(Role::Value).reshape(weight.sizes()) - weight) * strength;
  const Tensor delta = plain_delta(parts, weight, rows);
  const auto norms = [&](Role role) { return chosen(parts.read(role).flatten(), rows); };
  if (parts.has(Role::Magnitude))
    return with_magnitudes(weight + delta * strength, norms(Role::Magnitude), 0) - weight;
  if (parts.has(Role::DoraScale)) {
    const int64_t axis = dora_axis(parts, rows.whole > 0 ? rows.whole : weight.size(0));
    const Tensor lengths = axis == 0 ? norms(Role::DoraScale) : parts.read(Role::DoraScale);
    return (with_magnitudes(weight + delta, lengths, axis) - weight) * strength;
  }
  return delta * strength;
}

Tensor bias_delta(const LoraFile& file, const LoraModule& module, double strength,
                  const Rows& rows_of_bias) {
  const Parts parts{file, module};
  const auto own = [&](Role role) { return chosen(parts.read(role).flatten(), rows_of_bias); };
  if (parts.has(Role::DiffBias)) return own(Role::DiffBias) * strength;
  if (!parts.has(Role::Down)) return own(Role::UpBias) * strength;
  const double rank = static_cast<double>(rows(parts.shape(Role::Down)));
  return own(Role::UpBias) * (file.scale(module, rank) * strength);
}

}  // namespace sdrbee::lora
