// LoRAs of a request as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "sdrbee/lora/lora_use.h"

namespace sdrbee::lora {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LoraUse, name, path, strength, blocks, strict,
                                                sha256)

}  // namespace sdrbee::lora
