#include "sdrbee/text/tokenizer_files.h"

#include "sdrbee/core/error.h"

namespace sdrbee::text {

namespace fs = std::filesystem;
using io::Json;

void reject_vocabulary(const fs::path& file, const std::string& what) {
  throw CheckpointError(message("[tokenizer] ", file.string(), ": ", what));
}

void refuse_tokenizer(const fs::path& file, const std::string& key, const std::string& expected,
                      const char* family, const Json& found) {
  throw UnsupportedModel(message("[tokenizer] ", file.string(), ": '", key, "': expected ",
                                 expected, ", as in ", family, "'s tokenizers, but got ",
                                 found.dump()));
}

std::optional<fs::path> vocabulary_file(const fs::path& path,
                                        std::initializer_list<const char*> names) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return path;
  for (const char* name : names)
    if (fs::is_regular_file(path / name, ignored)) return path / name;
  return std::nullopt;
}

std::string step_type(const Json& step) {
  const Json type = step.is_object() ? step.value("type", Json()) : Json();
  return type.is_string() ? type.get<std::string>() : "";
}

}  // namespace sdrbee::text
