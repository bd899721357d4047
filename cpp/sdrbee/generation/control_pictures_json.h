// The pictures of a control as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "sdrbee/generation/request_fields.h"

namespace sdrbee {

/// What `one` makes of the picture of a control; of several, or of those with masks, {"images":
/// [...], "masks": [...]}.
template <typename One>
nlohmann::json control_pictures_to_json(const ControlRequest& control, const One& one) {
  if (control.images.size() == 1 && control.masks.empty()) return one(control.images.front());
  nlohmann::json all;
  visit_control_pictures(
      [&](std::string_view, std::string_view plural, auto member, std::string_view) {
        nlohmann::json& list = all[std::string(plural)] = nlohmann::json::array();
        for (const Image& picture : control.*member) list.push_back(one(picture));
      });
  return all;
}

/// Hands what was made of each picture to `visit(std::string name, std::vector<Image>
/// ControlRequest::*member, const nlohmann::json&)`, with the name that users know it by.
template <typename Visitor>
void visit_control_pictures_json(const nlohmann::json& json, const Visitor& visit) {
  if (!json.is_object() || !json.contains("images"))
    return visit(std::string("image"), &ControlRequest::images, json);
  visit_control_pictures(
      [&](std::string_view name, std::string_view plural, auto member, std::string_view) {
        const auto list = json.find(std::string(plural));
        if (list == json.end()) return;
        size_t index = 0;
        for (const nlohmann::json& one : *list)
          visit(picture_name(name, plural, list->size(), index++), member, one);
      });
}

}  // namespace sdrbee
