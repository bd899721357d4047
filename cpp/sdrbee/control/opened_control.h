// The files of a control network.
#pragma once

#include <filesystem>
#include <vector>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::control {

/// A control network's files, as a component of a model.
struct OpenedControl {
  io::Component component;
  std::vector<std::filesystem::path> files;
};

}  // namespace sdrbee::control
