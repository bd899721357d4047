#include "mutations.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

namespace sdrbee::fuzz {
namespace {

constexpr size_t kMaxInputBytes = 1 << 16;
constexpr std::array<uint8_t, 10> kExtremeBytes = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '9', '-'};

class Mutator {
 public:
  size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void mutate(Input& input, const Input& other) {
    for (size_t rounds = 1 + below(4); rounds > 0; --rounds) mutate_once(input, other);
    if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
  }

 private:
  using Position = Input::difference_type;

  void mutate_once(Input& input, const Input& other) {
    const size_t start = below(input.size());
    const size_t length = std::min(1 + below(16), input.size() - start);
    const auto first = input.begin() + static_cast<Position>(start);
    const auto last = first + static_cast<Position>(length);
    if (input.empty()) {
      input.push_back(std::byte{0});
      return;
    }
    switch (below(7)) {
      case 0:
        *first ^= std::byte{1} << below(8);
        break;
      case 1:
        *first = std::byte{kExtremeBytes[below(kExtremeBytes.size())]};
        break;
      case 2:
        input.erase(first, last);
        break;
      case 3: {
        const Input copy(first, last);
        input.insert(input.begin() + static_cast<Position>(below(input.size())), copy.begin(),
                     copy.end());
        break;
      }
      case 4:
        std::fill(first, last, std::byte{kExtremeBytes[below(kExtremeBytes.size())]});
        break;
      case 5:
        input.resize(start);
        break;
      default: {
        const size_t cut = below(other.size());
        input.resize(start);
        input.insert(input.end(), other.begin() + static_cast<Position>(cut), other.end());
      }
    }
  }

  std::mt19937_64 random_{20240607};
};

}  // namespace

void run_mutations(const std::vector<Input>& seeds, size_t count, const Target& target) {
  for (const Input& seed : seeds) target(seed);
  Mutator mutator;
  for (size_t i = 0; i < count; ++i) {
    Input input = seeds[i % seeds.size()];
    mutator.mutate(input, seeds[mutator.below(seeds.size())]);
    target(input);
  }
}

}  // namespace sdrbee::fuzz
