#include "sdrbee/lora/lora_dialect.h"

#include <array>
#include <string_view>

namespace sdrbee::lora {
namespace {

struct Ending {
  std::string_view text;
  Role role;
  std::string_view kept = {};  ///< of it in the name of the module
};

// The longer ending stands before one that it ends in.
constexpr std::array kEndings = {
    // kohya, https://github.com/kohya-ss/sd-scripts/blob/main/networks/lora.py
    Ending{".lora_down.weight", Role::Down},
    Ending{".lora_up.weight", Role::Up},
    Ending{".lora_mid.weight", Role::Mid},
    Ending{".lora_up.bias", Role::UpBias},
    Ending{".alpha", Role::Alpha},
    // diffusers before PEFT; attention processors first
    Ending{"_lora.down.weight", Role::Down},
    Ending{"_lora.up.weight", Role::Up},
    Ending{".lora_linear_layer.down.weight", Role::Down},
    Ending{".lora_linear_layer.up.weight", Role::Up},
    Ending{".lora.down.weight", Role::Down},
    Ending{".lora.up.weight", Role::Up},
    // XLabs' attention processors of picture and text
    // https://github.com/XLabs-AI/x-flux/blob/main/src/flux/modules/layers.py
    Ending{"_lora1.down.weight", Role::Down, "1"},
    Ending{"_lora1.up.weight", Role::Up, "1"},
    Ending{"_lora2.down.weight", Role::Down, "2"},
    Ending{"_lora2.up.weight", Role::Up, "2"},
    // Norms of queries and keys that Black Forest Labs' control LoRAs bring with them, under their
    // own names and as diffusers saves them.
    Ending{".query_norm.scale", Role::Value, ".query_norm"},
    Ending{".key_norm.scale", Role::Value, ".key_norm"},
    Ending{".norm_q.weight", Role::Value, ".norm_q"},
    Ending{".norm_k.weight", Role::Value, ".norm_k"},
    Ending{".norm_added_q.weight", Role::Value, ".norm_added_q"},
    Ending{".norm_added_k.weight", Role::Value, ".norm_added_k"},
    // PEFT; the name of an adapter is cut out before
    Ending{".lora_A.weight", Role::Down},
    Ending{".lora_B.weight", Role::Up},
    Ending{".lora_B.bias", Role::UpBias},
    Ending{".lora_magnitude_vector.weight", Role::Magnitude},
    Ending{".lora_magnitude_vector", Role::Magnitude},
    // LyCORIS, https://github.com/KohakuBlueleaf/LyCORIS/tree/main/lycoris/modules
    Ending{".dora_scale", Role::DoraScale},
    Ending{".scalar", Role::Scalar},
    Ending{".diff", Role::Diff},
    Ending{".diff_b", Role::DiffBias},
    Ending{".w_norm", Role::Diff},
    Ending{".b_norm", Role::DiffBias},
    Ending{".hada_w1_a", Role::LohaW1A},
    Ending{".hada_w1_b", Role::LohaW1B},
    Ending{".hada_w2_a", Role::LohaW2A},
    Ending{".hada_w2_b", Role::LohaW2B},
    Ending{".hada_t1", Role::LohaT1},
    Ending{".hada_t2", Role::LohaT2},
    Ending{".lokr_w1", Role::LokrW1},
    Ending{".lokr_w1_a", Role::LokrW1A},
    Ending{".lokr_w1_b", Role::LokrW1B},
    Ending{".lokr_w2", Role::LokrW2},
    Ending{".lokr_w2_a", Role::LokrW2A},
    Ending{".lokr_w2_b", Role::LokrW2B},
    Ending{".lokr_t2", Role::LokrT2},
};

// What is followed by the name of an adapter in files that PEFT's modules were saved to as they
// are.
constexpr std::array<std::string_view, 3> kBeforeAdapter = {".lora_A.", ".lora_B.",
                                                            ".lora_magnitude_vector."};

constexpr std::string_view kPeftPrefix = "base_model.model.";

/// The key without the name of an adapter: ".lora_A.default.weight" becomes ".lora_A.weight".
std::string without_adapter(std::string key) {
  for (const std::string_view before : kBeforeAdapter) {
    const size_t found = key.rfind(before);
    if (found == std::string::npos) continue;
    const size_t begin = found + before.size();
    const size_t end = key.find('.', begin);
    if (end != std::string::npos && key.find('.', end + 1) == std::string::npos)
      key.erase(begin, end + 1 - begin);
    else if (end == std::string::npos && key.substr(begin) != "weight" &&
             key.substr(begin) != "bias")
      key.erase(begin - 1);
  }
  return key;
}

/// The name of a layer without what dialects put before or into it.
std::string plain_name(std::string name) {
  if (name.starts_with(kPeftPrefix)) name.erase(0, kPeftPrefix.size());
  constexpr std::string_view kProcessor = ".processor.";
  if (const size_t found = name.find(kProcessor); found != std::string::npos)
    name.replace(found, kProcessor.size(), ".");
  return name;
}

}  // namespace

std::optional<KeyParts> take_apart(const std::string& key) {
  const std::string plain = without_adapter(key);
  for (const Ending& ending : kEndings)
    if (plain.size() > ending.text.size() && plain.ends_with(ending.text))
      return KeyParts{
          plain_name(plain.substr(0, plain.size() - ending.text.size()) + std::string(ending.kept)),
          ending.role};
  return std::nullopt;
}

}  // namespace sdrbee::lora
