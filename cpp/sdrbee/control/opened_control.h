// The files of a control network, and what kind of one they are.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee::control {

// The classes of diffusers.
inline constexpr const char* kControlNetClass = "ControlNetModel";
inline constexpr const char* kUnionClass = "ControlNetUnionModel";
inline constexpr const char* kAdapterClass = "T2IAdapter";
inline constexpr const char* kIpAdapterClass = "IP-Adapter";  // diffusers has no class for it
inline constexpr const char* kSd3Class = "SD3ControlNetModel";
inline constexpr const char* kFluxClass = "FluxControlNetModel";

/// A control network's files, as a component of a model.
struct OpenedControl {
  /// Its class is one of those above. A lone file tells no configuration: it is empty, and the
  /// weights have the names of the file.
  io::Component component;
  std::vector<std::filesystem::path> files;
  std::filesystem::path path;  // the adapter's file where a folder holds one with its encoder
  bool lone_file = false;
};

/// Opens a folder of diffusers (config.json and weights) or one file of weights. Throws
/// CheckpointError for a missing or damaged one, and UnsupportedModel for what is no control
/// network that any model takes.
OpenedControl open_control(const std::string& path);

/// Whether the network follows pictures of several types (a union ControlNet), of which a request
/// names one. Throws as open_control does.
bool follows_types(const std::string& path);

/// Throws InvalidRequest, saying whose models the network is for, unless its class is one of
/// `classes`, those that models called `models` take.
void require_class(const OpenedControl& opened, std::initializer_list<std::string_view> classes,
                   std::string_view models);

/// A control network of files that are told apart by their content.
class ControlFromFiles : public ControlNetwork {
 public:
  explicit ControlFromFiles(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}
  const std::string& sha256() final;

 protected:
  void add_files(const std::vector<std::filesystem::path>& more) {
    files_.insert(files_.end(), more.begin(), more.end());
  }

 private:
  std::vector<std::filesystem::path> files_;
  std::string sha256_;
};

}  // namespace sdrbee::control
