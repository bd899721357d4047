#include "sdrbee/io/weight_source.h"

#include "sdrbee/core/cast.h"
#include "sdrbee/core/error.h"

namespace sdrbee::io {

Tensor WeightSource::read_as(const std::string& name, Dtype dtype) const {
  return cast(read(name), dtype);
}

QuantisedTensor WeightSource::read_blocks(const std::string& name) const {
  throw InternalError(message("[", origin(name), "] tensor '", name, "' is not in blocks"));
}

}  // namespace sdrbee::io
