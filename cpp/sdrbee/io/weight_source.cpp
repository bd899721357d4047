#include "sdrbee/io/weight_source.h"

#include "sdrbee/core/error.h"

namespace sdrbee::io {

QuantisedTensor WeightSource::read_blocks(const std::string& name) const {
  throw InternalError(message("[", origin(name), "] tensor '", name, "' is not in blocks"));
}

}  // namespace sdrbee::io
