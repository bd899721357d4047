#include "sdrbee/io/weight_source.h"

#include "sdrbee/core/cast.h"
#include "sdrbee/core/error.h"

namespace sdrbee::io {

Tensor WeightSource::read_as(const std::string& name, Dtype dtype) const {
  return cast(read(name), dtype);
}

AddedRows WeightSource::added(const std::string&) const { return {}; }

Tensor WeightSource::read_without_added(const std::string& name, Dtype dtype) const {
  return read_as(name, dtype);
}

QuantisedTensor WeightSource::read_blocks(const std::string& name) const {
  throw InternalError(message("[", origin(name), "] tensor '", name, "' is not in blocks"));
}

}  // namespace sdrbee::io
