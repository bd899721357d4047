#include "sdrbee/core/check.h"

#include <vector>

namespace sdrbee {

void check_shape(const char* where, const char* name, const Tensor& tensor,
                 std::initializer_list<int64_t> expected) {
  const std::vector<int64_t> want(expected);
  bool fits = tensor.dim() == static_cast<int64_t>(want.size());
  for (size_t i = 0; fits && i < want.size(); ++i)
    fits = want[i] < 0 || tensor.size(static_cast<int64_t>(i)) == want[i];
  if (!fits)
    throw InternalError(message("[", where, "] expected ", name, " of shape ", shape_text(want),
                                " but got ", shape_text(tensor.sizes())));
}

}  // namespace sdrbee
