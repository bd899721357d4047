// What the names of tensors in LoRA files mean.
#pragma once

#include <optional>
#include <string>

#include "sdrbee/lora/lora_file.h"

namespace sdrbee::lora {

/// A key taken apart: "unet.x.to_q.lora_A.default.weight" is the Down of "unet.x.to_q".
struct KeyParts {
  std::string module;
  Role role = Role::Down;
};

/// Nothing when the key is of no dialect.
std::optional<KeyParts> take_apart(const std::string& key);

}  // namespace sdrbee::lora
