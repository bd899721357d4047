// A LoRA as a request names it.
#pragma once

#include <string>
#include <vector>

namespace sdrbee::lora {

/// A file of the LoRA family and how much of it.
struct LoraUse {
  std::string name;  ///< for messages and recipes
  std::string path;
  double strength = 1.0;  ///< may be negative; 0 is as good as none
  /// Factors of `strength` by block, as the lists of A1111's extension lora-block-weight; empty: 1
  /// everywhere. See block_strengths.h.
  std::vector<double> blocks;
  /// Whether keys that match nothing in the model are an error, or a warning.
  bool strict = true;
  /// SHA-256 of the file, in hexadecimal. Where it is given, another file is refused; a resolved
  /// request holds it.
  std::string sha256;
  bool operator==(const LoraUse&) const = default;
};

}  // namespace sdrbee::lora
