// Names that users type: comparison without case, and suggestions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::sampling {

/// ASCII lower case.
std::string lower_case(std::string_view text);

/// The names joined for a message: "a, b, c".
std::string joined(std::span<const std::string_view> names);

/// Up to three of `names` that are closest to `name` by edit distance, the closest first.
std::vector<std::string_view> nearest_names(std::string_view name,
                                            std::span<const std::string_view> names);

/// "[field] unknown <field> 'name'; did you mean a, b or c? Known: ...".
std::string unknown_name_message(std::string_view field, std::string_view name,
                                 std::span<const std::string_view> names);

}  // namespace sdrbee::sampling
