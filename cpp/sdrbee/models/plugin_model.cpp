#include "sdrbee/models/plugin_model.h"

#include "sdrbee/core/error.h"

namespace sdrbee {

Tensor PluginModel::encode_picture(const Tensor&) {
  throw UnsupportedModel(message("[", identity(), "] has no encoder of pictures"));
}

}  // namespace sdrbee
