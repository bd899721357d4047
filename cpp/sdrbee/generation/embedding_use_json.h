// Learned words of a request as JSON, as recipes and checkpoints hold them.
#pragma once

#include <nlohmann/json.hpp>

#include "sdrbee/text/textual_inversion.h"

namespace sdrbee::text {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(EmbeddingUse, name, path, sha256)

}  // namespace sdrbee::text
