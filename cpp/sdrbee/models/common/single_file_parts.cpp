#include "sdrbee/models/common/single_file_parts.h"

#include <utility>

#include "sdrbee/io/renamed_weights.h"

namespace sdrbee {

std::shared_ptr<const io::WeightSource> below(const std::shared_ptr<const io::WeightSource>& file,
                                              const std::string& prefix) {
  return prefix.empty() ? file : std::make_shared<io::SubsetWeights>(file, prefix);
}

void add_component(io::LoneComponent found, const std::string& name, io::SingleFileParts& parts) {
  found.component.name = name;
  parts.components.push_back(std::move(found.component));
  if (const auto known = parts.untold.find(name); known != parts.untold.end())
    found.untold.update(known->second);
  parts.untold[name] = std::move(found.untold);
}

io::Component tokenizer_component(const std::string& name, const std::string& class_name,
                                  io::Json config) {
  return {.name = name,
          .library = "transformers",
          .class_name = class_name,
          .config = io::Config(std::move(config)),
          .weights = nullptr,
          .folder = {}};
}

io::Component scheduler_component(io::Config config) {
  std::string class_name = config.string_or("_class_name", "");
  return {.name = "scheduler",
          .library = "diffusers",
          .class_name = std::move(class_name),
          .config = std::move(config),
          .weights = nullptr,
          .folder = {}};
}

}  // namespace sdrbee
