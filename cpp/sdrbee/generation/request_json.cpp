// Requests as JSON, made from the one list of fields.
#include <type_traits>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/embedding_use_json.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/lora/lora_use_json.h"

namespace sdrbee {
namespace {

template <typename T>
struct OptionalValue : std::false_type {};
template <typename T>
struct OptionalValue<std::optional<T>> : std::true_type {
  using Type = T;
};

template <typename T>
void read_value(const nlohmann::json& from, std::string_view name, T& value) {
  const auto found = from.find(std::string(name));
  if (found == from.end() || found->is_null()) return;
  try {
    if constexpr (OptionalValue<T>::value)
      value = found->template get<typename OptionalValue<T>::Type>();
    else
      value = found->template get<T>();
  } catch (const nlohmann::json::exception&) {
    throw InvalidRequest(message("[", name, "] unexpected value in the recipe: ", found->dump()));
  }
}

nlohmann::json control_to_json(const ControlRequest& control) {
  nlohmann::json json;
  visit_control_fields([&](std::string_view name, auto member, std::string_view) {
    json[std::string(name)] = control.*member;
  });
  return json;
}

ControlRequest control_from_json(const nlohmann::json& json) {
  if (!json.is_object())
    throw InvalidRequest(message("[controls] unexpected value in the recipe: ", json.dump()));
  ControlRequest control;
  visit_control_fields([&](std::string_view name, auto member, std::string_view) {
    read_value(json, name, control.*member);
  });
  return control;
}

}  // namespace

nlohmann::json request_to_json(const GenerationRequest& request) {
  nlohmann::json json;
  visit_request_fields([&](std::string_view name, auto member, std::string_view) {
    const auto& value = request.*member;
    if constexpr (OptionalValue<std::decay_t<decltype(value)>>::value)
      json[std::string(name)] = value ? nlohmann::json(*value) : nlohmann::json(nullptr);
    else
      json[std::string(name)] = value;
  });
  for (const ControlRequest& control : request.controls)
    json["controls"].push_back(control_to_json(control));
  return json;
}

GenerationRequest request_from_json(const nlohmann::json& json) {
  GenerationRequest request;
  visit_request_fields([&](std::string_view name, auto member, std::string_view) {
    read_value(json, name, request.*member);
  });
  if (const auto found = json.find("controls"); found != json.end())
    for (const nlohmann::json& control : *found)
      request.controls.push_back(control_from_json(control));
  return request;
}

}  // namespace sdrbee
