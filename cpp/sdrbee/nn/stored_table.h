// A large table that few values are used of at a time.
#pragma once

#include "sdrbee/core/cast.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/layer_weight.h"

namespace sdrbee::nn {

/// A tensor that on the CPU stays as it is stored, in the mapped file: what is used is converted
/// when it is used.
class StoredTable {
 public:
  /// Takes `scope.name`, see WeightScope::promise_stored. Throws CheckpointError.
  StoredTable(const io::WeightScope& scope, std::string_view name, at::IntArrayRef shape)
      : dtype_(scope.dtype()) {
    auto values =
        scope.device().is_cpu() ? scope.promise_stored(name, shape) : scope.promise(name, shape);
    scope.put_off(name, [weight = weight_, values = std::move(values)] {
      *weight = {values(), false, std::nullopt};
    });
  }

  /// `choose(table)`, in the dtype of the network.
  template <typename Choose>
  Tensor part(const Choose& choose) const {
    return cast(choose(weight_->values), dtype_);
  }

 private:
  SharedWeight weight_ = make_shared_weight();
  Dtype dtype_;
};

}  // namespace sdrbee::nn
