#include "sdrbee/sampling/names.h"

#include <algorithm>
#include <numeric>

#include "sdrbee/core/error.h"

namespace sdrbee::sampling {
namespace {

/// Levenshtein's edit distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

std::vector<std::string_view> nearest_names(std::string_view name,
                                            std::span<const std::string_view> names) {
  const std::string wanted = lower_case(name);
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::stable_sort(sorted.begin(), sorted.end(), [&](std::string_view a, std::string_view b) {
    return edit_distance(wanted, lower_case(a)) < edit_distance(wanted, lower_case(b));
  });
  sorted.resize(std::min<size_t>(sorted.size(), 3));
  return sorted;
}

std::string unknown_name_message(std::string_view field, std::string_view name,
                                 std::span<const std::string_view> names) {
  return message("[", field, "] unknown ", field, " '", name, "'; did you mean ",
                 joined(nearest_names(name, names)), "? Known: ", joined(names));
}

}  // namespace sdrbee::sampling
