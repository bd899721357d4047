// What the families' readers of single files have in common.
#pragma once

#include <memory>
#include <string>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee {

/// The tensors below a prefix, under the rest of their names.
std::shared_ptr<const io::WeightSource> below(const std::shared_ptr<const io::WeightSource>& file,
                                              const std::string& prefix);

/// Adds a component of the file as the pipeline's `name`. What `parts.untold` already has of it
/// stands before the component's own.
void add_component(io::LoneComponent found, const std::string& name, io::SingleFileParts& parts);

/// A tokenizer, whose vocabulary is not in the file; `config` as in tokenizer_config.json.
io::Component tokenizer_component(const std::string& name, const std::string& class_name,
                                  io::Json config);

/// A scheduler of the class that `config` names.
io::Component scheduler_component(io::Config config);

}  // namespace sdrbee
