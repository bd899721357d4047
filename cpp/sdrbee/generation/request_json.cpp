// Requests as JSON, made from the one list of fields.
#include <type_traits>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/generation/request_fields.h"

namespace sdrbee {
namespace {

template <typename T>
struct OptionalValue : std::false_type {};
template <typename T>
struct OptionalValue<std::optional<T>> : std::true_type {
  using Type = T;
};

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
  return json;
}

GenerationRequest request_from_json(const nlohmann::json& json) {
  GenerationRequest request;
  visit_request_fields([&](std::string_view name, auto member, std::string_view) {
    auto& value = request.*member;
    using Field = std::decay_t<decltype(value)>;
    const auto found = json.find(std::string(name));
    if (found == json.end() || found->is_null()) return;
    try {
      if constexpr (OptionalValue<Field>::value)
        value = found->template get<typename OptionalValue<Field>::Type>();
      else
        value = found->template get<Field>();
    } catch (const nlohmann::json::exception&) {
      throw InvalidRequest(message("[", name, "] unexpected value in the recipe: ", found->dump()));
    }
  });
  return request;
}

}  // namespace sdrbee
